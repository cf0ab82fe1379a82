"""Recognizers that compute from the sound of windows: trained, then used for all that a recognizer is for."""

import json
import shutil

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from lib.audio.spectrograms import cut_windows, window_pieces
from lib.config.schema import Settings
from lib.core.errors import EarshotError, SettingsError
from lib.curation.database_embeddings import DatabaseEmbeddings, embed_database
from lib.curation.embedding_store import EmbeddingStore
from lib.curation.recording_embeddings import embed_recordings
from lib.curation.similarity_search import search_sound
from lib.inference.analyzer import analyze
from lib.inference.predictor import Predictor
from lib.models.backbones import BACKBONES
from lib.models.checkpoints import load_checkpoint
from lib.models.description import Description
from lib.models.onnx_export import comparison_windows, export_onnx
from lib.models.recognizer import build
from lib.results.results_store import ResultsStore
from lib.training.batches import scaled
from lib.training.trainer import save_models, train_models
from lib.training_data.stored_windows import StoredWindows
from tests.models.builders import describe, save_random_model
from tests.training.builders import learner_of, trained, with_settings
from tests.training_data.builders import AUDIO, EXTRACT, PITCHES, RATE, extract_folder, tones

FRONTENDS = ["ast", "mfcc", "multi", "waveform", "wavelet"]


class Strided(nn.Module):
    """A backbone of waveforms, as someone may add one: two strided convolutions."""

    takes, num_features = "waveforms", 16

    def __init__(self, in_chans: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv1d(1, 16, 64, 16), nn.ReLU(), nn.Conv1d(16, 16, 8, 4), nn.ReLU())

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
        return self.layers(waveforms.unsqueeze(1)).unsqueeze(2)


@pytest.fixture(scope="module", autouse=True)
def strided():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "strided", lambda options: Strided())
        yield


@pytest.fixture(scope="module")
def database(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "training.db"
    extract_folder(folder, path, include="r0[0-5]", sound=True)
    return path


@pytest.fixture(scope="module", params=FRONTENDS)
def model(request, database, tmp_path_factory):
    """A model of each frontend, trained for an epoch."""
    folder = tmp_path_factory.mktemp(request.param)
    backbone = "strided" if request.param == "waveform" else "cnn"
    changes = {"frontend": request.param, "backbone": backbone, "epochs": 1, "epoch_windows": 48}
    outcome = train_models(StoredWindows(database), with_settings(**changes), folder / "state", "a")
    assert np.isfinite(outcome.epochs[0]["val_loss"])
    (path,) = save_models(folder / "model.pt", outcome)
    return path


def settings_of(**infer) -> Settings:
    infer = {"overlap": 0.25, "device": "cpu", "workers": 1} | infer
    return Settings.model_validate({"audio": AUDIO.model_dump(), "extract": EXTRACT.model_dump(), "infer": infer})


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """100 s of tones, and the samples."""
    samples = tones(7, 100.0, tuple(PITCHES))[0]
    path = tmp_path_factory.mktemp("long") / "long.wav"
    soundfile.write(path, samples, RATE)
    return path, soundfile.read(path, dtype="float32")[0]


def test_scores_do_not_depend_on_batches_or_blocks(model, recording):
    path, samples = recording
    whole = next(cut_windows(window_pieces([samples], AUDIO, "waveforms"), AUDIO, 0.25, 1000, "waveforms"))
    expected, _ = Predictor(model, "cpu", settings_of(batch_size=1000)).score_windows(whole.inputs)
    assert expected.shape == (399, 3) and expected.std() > 1e-3
    for batch in (32, 7):
        scores, _, starts = Predictor(model, "cpu", settings_of(batch_size=batch)).get_recording_scores(path)
        np.testing.assert_allclose(starts, whole.starts)
        np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_infer_embed_and_search_work_on_its_windows(model, folder, database, tmp_path):
    recordings = {name: folder / f"recordings/{name}.wav" for name in ("r00", "r01")}
    settings = settings_of()
    analysis = analyze(recordings, model, settings, tmp_path / "labels")
    assert [result.is_ok for result in analysis.results] == [True, True]
    predictor = Predictor(model, "cpu", settings)
    scores, _, _ = predictor.get_recording_scores(recordings["r01"])
    with ResultsStore(tmp_path / "labels") as results:
        stored = results.scores("r01")
    np.testing.assert_allclose(stored, scores, atol=2e-3)

    embed_recordings(recordings, model, settings, tmp_path / "embeddings.db")
    with EmbeddingStore(tmp_path / "embeddings.db") as store:
        vectors = np.concatenate([piece.vectors for piece in store.pieces()])
        found = search_sound(store, str(recordings["r00"]), 0.5, 1.0, model, settings, 3, distinct=False)
    assert len(vectors) == 22 and found.matches

    copy = tmp_path / "training.db"
    shutil.copy(database, copy)
    assert embed_database(copy, model, settings) == len(StoredWindows(copy))
    with DatabaseEmbeddings(copy) as embeddings:
        (piece,) = embeddings.pieces()
    first = piece.vectors[piece.starts == 0.0][0]
    np.testing.assert_allclose(first, vectors[0], rtol=2e-2, atol=1e-3 * np.abs(vectors).max())


def test_export_takes_waveforms_and_gives_the_same_scores(model, recording, tmp_path):
    windows = comparison_windows([recording[0]], model, must_be_readable=True)
    exported = export_onnx(model, tmp_path / "model.onnx", windows)
    assert exported.difference < 1e-4 and exported.n_real == 32
    frontend = load_checkpoint(model)[0].frontend
    assert exported.ports[0].name == "waveforms" and "sound of windows of 0.5 s" in exported.ports[0].meaning
    assert exported.ports[0].shape == ("n", 2128 if frontend.has_margins else 2000)
    assert ("64 samples more on either side" in exported.ports[0].meaning) == frontend.has_margins


@pytest.mark.parametrize("model", ["mfcc"], indirect=True)
def test_windows_of_another_length_are_named(model):
    with pytest.raises(
        EarshotError, match=r"waveforms of shape \(1, 1999\): the model takes \(n, 2128\) or \(n, 2000\)"
    ):
        Predictor(model, "cpu", settings_of()).score_windows(np.zeros((1, 1999)))


@pytest.mark.parametrize("model", ["mfcc"], indirect=True)
def test_training_goes_on_from_a_model_of_the_same_frontend(model, database, tmp_path):
    changes = {"load_checkpoint": str(model), "freeze_backbone": True, "epochs": 1, "epoch_windows": 32}
    windows = StoredWindows(database)
    outcome = trained(windows, tmp_path, frontend="mfcc", **changes)
    weights = load_checkpoint(model)[0].backbone.state_dict()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in outcome.model.backbone.state_dict().items())
    with pytest.raises(SettingsError, match=r"its frontend is mfcc; set train\.frontend to that"):
        trained(windows, tmp_path, frontend="wavelet", **changes)


def test_a_database_without_sound_is_named_before_training_starts(windows, tmp_path):
    with pytest.raises(SettingsError, match=r"extract\.sound: .* holds no sound of windows; set it to true and run"):
        trained(windows, tmp_path, frontend="mfcc", workers=2)


def test_models_that_take_different_windows_are_no_ensemble(tmp_path, folder):
    save_random_model(tmp_path / "a.pt", AUDIO)
    save_random_model(tmp_path / "b.pt", AUDIO, frontend="mfcc")
    fault = r"b\.pt: takes other input \(waveforms, for frontend mfcc\) than .*a\.pt; keep"
    with pytest.raises(EarshotError, match=fault):
        Predictor(tmp_path, "cpu", settings_of())


def test_frontend_and_backbone_must_fit_together():
    with pytest.raises(SettingsError, match=r"train\.frontend = 'waveform': gives waveforms, while cnn takes images"):
        build(describe(AUDIO, frontend="waveform"))
    with pytest.raises(SettingsError, match=r"train\.frontend = 'mel': gives images, while strided takes waveforms"):
        build(describe(AUDIO, backbone="strided"))


def test_models_from_before_there_were_frontends_are_of_spectrograms():
    content = describe(AUDIO).model_dump()
    del content["frontend"]
    description = Description.model_validate_json(json.dumps(content))
    assert (description.frontend, description.takes) == ("mel", "spectrograms")


def test_training_windows_of_sound_become_the_stored_spectrograms(database):
    windows = StoredWindows(database)
    learner, indices = learner_of(windows), np.flatnonzero(windows.starts < 2.5)[:9]
    stored = scaled(torch.from_numpy(windows.spectrograms(indices)))
    made = learner.images_of(torch.from_numpy(windows.sounds(indices)))
    torch.testing.assert_close(made, stored, atol=0.5 / 255 + 1e-4, rtol=0)


def test_a_step_learns_from_sound_of_the_same_loudness_that_other_augmentations_changed(database):
    listed = [{"name": "norm_after_time_augs", "level_db": -30.0}, {"name": "pitch", "probability": 1.0}]
    learner = learner_of(StoredWindows(database), frontend="waveform", backbone="strided", augmentations=listed)
    x, y = next(learner.batches(0))
    torch.testing.assert_close(x.square().mean(dim=1).sqrt(), torch.full((len(x),), 10 ** (-30 / 20)))
    weights = learner.model.module.backbone.layers[0].weight.clone()
    assert learner.step(x, y, 0.003).isfinite()
    assert not torch.equal(learner.model.module.backbone.layers[0].weight, weights)


def test_the_sound_of_training_windows_is_standardized_once_by_the_model(database):
    windows = StoredWindows(database)
    learner = learner_of(windows, frontend="waveform", backbone="strided", augmentations=[])
    x, _ = next(learner.batches(0))
    assert torch.equal(x, torch.from_numpy(windows.sounds(learner.task.order(0)[0])))
