"""A training with each kind of backbone, small enough for a test."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lib.core.errors import SettingsError
from lib.models.backbone_options import BackboneOptions
from lib.models.backbones import make_backbone
from lib.models.checkpoints import load_checkpoint, save_checkpoint
from lib.models.description import Description
from lib.models.onnx_files import onnx_origin
from lib.training.trainer import train_models
from lib.training.training_state import training_fingerprint
from lib.training_data.extraction import extract_windows
from lib.training_data.stored_windows import StoredWindows
from tests.models.builders import describe, save_random_model
from tests.models.onnx_models import spectrogram_model
from tests.training.builders import learner_of, trained, with_settings
from tests.training_data.builders import AUDIO, EXTRACT, contents_of

TINY = {"width_factor": 0.1, "depth_factor": 0.1, "epochs": 1, "epoch_windows": 0}


def assert_is_stored_whole(outcome, inputs, folder):
    """A model is the same once it is saved and loaded; returns its description."""
    save_checkpoint(folder / "model.pt", outcome.model, outcome.description)
    model, description = load_checkpoint(folder / "model.pt")
    with torch.inference_mode():  # weights of another memory layout are summed up in another order
        torch.testing.assert_close(model(inputs), outcome.model(inputs), atol=1e-5, rtol=1e-4)
    return description


@pytest.fixture(scope="module")
def few(folder, tmp_path_factory):
    """Windows of four recordings, of as many bands as networks need that halve images five times."""
    path = tmp_path_factory.mktemp("few") / "training.db"
    audio = AUDIO.model_copy(update={"spec_height": 32})
    extract_windows(contents_of(folder, "r0[0-3]"), audio, EXTRACT, path)
    return StoredWindows(path)


@pytest.mark.parametrize(
    "name",
    [
        "ast", "convnext_tiny", "dla", "effnet", "efficient_net_v2_s", "gernet", "hgnet", "mobilenet_v3_large",
        "mobnet", "repvit", "resnext50_32x4d", "vovnet",
    ],
)  # fmt: skip
def test_scaled_backbones_of_images_are_trained(few, tmp_path, name):
    outcome = trained(few, tmp_path, backbone=name, **TINY)
    assert np.isfinite(outcome.epochs[0]["val_loss"])
    start = learner_of(few, backbone=name, **TINY).model.module
    first, learnt = (
        next(weight for weight in model.backbone.parameters() if weight.ndim == 4) for model in (start, outcome.model)
    )
    assert not torch.equal(first, learnt)
    spectrograms = torch.from_numpy(few.spectrograms(np.arange(4))).float() / 255
    description = assert_is_stored_whole(outcome, spectrograms, tmp_path)
    assert (description.backbone, description.width_factor, description.depth_factor) == (name, 0.1, 0.1)


@pytest.fixture(scope="module")
def sound(folder, tmp_path_factory):
    """Windows of four recordings at 16 kHz, with their sound."""
    path = tmp_path_factory.mktemp("sound") / "training.db"
    changes = {"sampling_rate": 16000, "win_length": 512, "hop_length": 200}
    extract_windows(
        contents_of(folder, "r0[0-3]"),
        AUDIO.model_copy(update=changes),
        EXTRACT.model_copy(update={"sound": True}),
        path,
    )
    return StoredWindows(path)


@pytest.mark.parametrize("name", ["wav2vec2", "wav2vec_cnn"])
def test_backbones_of_waveforms_are_trained(sound, tmp_path, name):
    outcome = trained(sound, tmp_path, backbone=name, frontend="waveform", drop_path=0.1, **TINY)
    assert np.isfinite(outcome.epochs[0]["val_loss"])
    waveforms = torch.from_numpy(sound.sounds(np.arange(4)))
    assert assert_is_stored_whole(outcome, waveforms, tmp_path).takes == "waveforms"


def test_a_rate_that_a_backbone_does_not_take_is_named(folder, tmp_path):
    extract_windows(
        contents_of(folder, "r00"), AUDIO, EXTRACT.model_copy(update={"sound": True}), tmp_path / "training.db"
    )
    with pytest.raises(SettingsError, match=r"takes sound at 16000 Hz, not 4000 Hz; set audio\.sampling_rate to 16000"):
        learner_of(StoredWindows(tmp_path / "training.db"), backbone="wav2vec2", frontend="waveform", **TINY)


def test_training_starts_from_a_file_of_weights_and_notices_its_change(windows, folder, tmp_path):
    path = tmp_path / "weights.safetensors"
    settings = with_settings(backbone="gernet", width_factor=0.1, pretrained=str(path))
    digests = set()
    for seed in (1, 2):
        torch.manual_seed(seed)
        weights = make_backbone("gernet", BackboneOptions(width_factor=0.1)).model.state_dict()
        save_file(weights, path)
        model = learner_of(windows, **settings.model_dump()).model.module.backbone.model
        assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
        digests.add(training_fingerprint(folder / "training.db", settings))
    assert len(digests) == 2
    path.unlink()
    with pytest.raises(SettingsError, match=r"train\.pretrained = .*safetensors': no such file or folder"):
        training_fingerprint(folder / "training.db", settings)


def test_a_model_tells_of_the_onnx_file_that_it_was_trained_with(few, tmp_path):
    path = spectrogram_model(tmp_path / "bank.onnx", few.audio)
    trained_with = onnx_origin(str(path))
    settings = with_settings(backbone=f"onnx:{path}", augmentations=[], epochs=1, epoch_windows=0)
    outcome = train_models(few, settings, tmp_path / "state", "a", lambda done, row: path.unlink())
    assert outcome.description.onnx == trained_with and not path.exists()


def test_a_frozen_backbone_of_a_file_is_not_random(windows, tmp_path):
    torch.save(make_backbone("cnn", BackboneOptions()).state_dict(), tmp_path / "cnn.pth")
    learner = learner_of(windows, pretrained=str(tmp_path / "cnn.pth"), freeze_backbone=True)
    assert learner.frozen.modules == [learner.model.module.backbone]


def test_a_model_of_another_size_is_not_started_from(windows, tmp_path):
    save_random_model(tmp_path / "known.pt", AUDIO, width_factor=0.5)
    with pytest.raises(SettingsError, match=r"its width_factor is 0\.5; set train\.width_factor to that"):
        learner_of(windows, load_checkpoint=str(tmp_path / "known.pt"))


def test_descriptions_that_know_of_no_factors_are_of_whole_backbones():
    known = describe(AUDIO).model_dump(exclude={"width_factor", "depth_factor", "onnx", "frontend"})
    assert Description.model_validate(known) == describe(AUDIO)
