"""A model of others, as an ONNX file that gives embeddings, through all stages: only the head is trained."""

import json

import numpy as np
import onnxruntime
import pandas as pd
import pytest

from lib.core.errors import SettingsError
from lib.inference.predictor import Predictor
from lib.models.description import read_description
from stages.embed import embed
from stages.export import export
from stages.extract import extract
from stages.infer import infer
from stages.search import search
from stages.train import train
from tests.models.onnx_models import spectrogram_model, waveform_model
from tests.recordings import sine, write
from tests.training.builders import with_settings
from tests.training_data.builders import AUDIO, EXTRACT, RATE, write_data_set

INFER = {"overlap": 0.25, "device": "cpu", "precision": "32", "workers": 1}
KINDS = {
    "spectrograms": (lambda path: spectrogram_model(path, AUDIO), "mel"),
    "waveforms": (lambda path: waveform_model(path, AUDIO.window_samples, RATE, 24), "waveform"),
}


@pytest.fixture(params=KINDS)
def project(request, tmp_path, monkeypatch):
    """A project with 6 recordings, an ONNX backbone and its settings, to work in; and what the model takes."""
    write_backbone, frontend = KINDS[request.param]
    write_data_set(tmp_path / "set", 6)
    write_backbone(tmp_path / "data/inputs/bank.onnx")
    head = {"epochs": 8, "learning_rate": 0.02, "head": "deep", "augmentations": []}
    params = {
        "data": {"train": {"path": "set"}, "test": {"path": "set"}},
        "audio": AUDIO.model_dump(),
        "extract": EXTRACT.model_dump() | {"sound": frontend == "waveform"},
        "train": with_settings(backbone="onnx:data/inputs/bank.onnx", frontend=frontend, **head).model_dump(),
        "infer": INFER,
    }
    (tmp_path / "params.yaml").write_text(json.dumps(params))
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path, request.param


def test_a_head_on_a_frozen_backbone_goes_through_all_stages(project, capsys):
    folder, takes = project
    extract()
    train()
    description = read_description("data/models/model.pt")
    assert (description.takes, description.onnx.name) == (takes, "bank.onnx")
    assert json.loads((folder / "metrics/train.json").read_text())["val_macro_roc"] > 0.9
    (folder / "data/inputs/bank.onnx").rename(folder / "bank.onnx")  # a model stands alone
    (folder / "data/models").rename(folder / "moved")

    infer(model="moved", formats="csv", output="labels")
    labels = pd.read_csv(next((folder / "labels").glob("*.csv")))
    assert len(labels) > 3

    embed(model="moved", recordings="set/recordings", output="embeddings.db", table="embeddings.csv")
    write(folder / "mid.wav", sine(800, 0.5, RATE), RATE)
    search("mid.wav", model="moved", store="embeddings.db", output="found", max=10)
    events = pd.read_csv(folder / "set/annotations.csv").query("`class` == 'mid'")
    found = pd.read_csv(folder / "found/results.csv").merge(events, on="recording", suffixes=("", "_event"))
    hits = found.query("start_time_event < end_time and end_time_event > start_time")
    assert len(hits.drop_duplicates(["recording", "start_time"])) >= 7

    if takes == "waveforms":  # tests of lib.models.onnx_export have the others
        assert_is_exported(capsys)


def assert_is_exported(capsys):
    """The model in the folder moved is exported, as one file."""
    capsys.readouterr()
    export(model="moved", output="onnx", recordings="set/recordings/r00.wav")
    assert "largest difference from torch" in capsys.readouterr().out
    windows = np.random.default_rng(1).random((3, AUDIO.window_samples), np.float32)
    session = onnxruntime.InferenceSession("onnx/model.onnx")
    scores, embeddings = session.run(None, {"waveforms": windows})
    predictor = Predictor("moved", device="cpu")
    np.testing.assert_allclose(scores, predictor.score_windows(windows)[0], atol=1e-4)
    np.testing.assert_allclose(embeddings, predictor.get_embeddings(windows), atol=1e-4)


@pytest.mark.parametrize("project", ["spectrograms"], indirect=True)
def test_a_changed_backbone_trains_again_and_one_that_is_the_same_does_not(project, capsys):
    extract()
    train(epochs=1)
    first = read_description("data/models/model.pt").onnx
    capsys.readouterr()
    train(epochs=1)
    assert "nothing has changed that the model is computed from" in capsys.readouterr().out
    spectrogram_model(project[0] / "data/inputs/bank.onnx", AUDIO, seed=2)
    train(epochs=1)
    assert read_description("data/models/model.pt").onnx.digest != first.digest


@pytest.mark.parametrize("project", ["waveforms"], indirect=True)
def test_settings_that_do_not_fit_are_all_named_in_one_line(project):
    extract(**{"extract.sound": False, "audio.spec_duration": 0.6})
    with pytest.raises(SettingsError) as caught:
        train(frontend="mel")
    assert str(caught.value) == (
        "train.backbone = 'onnx:bank.onnx': takes other input than these settings make; set audio.spec_duration to "
        "0.5, train.frontend to waveform, extract.sound to true, and run the extract stage again"
    )
