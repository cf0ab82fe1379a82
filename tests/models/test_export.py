"""Exported files are loaded as a program would that has nothing of this project: with ONNX Runtime alone."""

import json

import numpy as np
import onnxruntime
import pytest
import torch

from lib.audio.spectrogram import cut_windows, level_frames
from lib.errors import EarshotError
from lib.models import export as export_module
from lib.models.calibration import apply_platt
from lib.models.checkpoint import load_checkpoint
from lib.models.description import Calibration
from lib.models.export import OnnxRecognizer, export_onnx
from stages.export import export
from tests.database.builders import AUDIO, PITCHES, tones, write_data_set, write_params
from tests.models.builders import save_random_model

SAMPLES = tones(3, 4.0, tuple(PITCHES))[0].astype(np.float32)
SPECTROGRAMS = next(cut_windows(level_frames([SAMPLES], AUDIO), AUDIO, 0.7, 5)).spectrograms
SED = {"head": "sed", "sed_fps": 8.0}
KINDS = {
    "multi-label": {},
    "single-label sed": SED | {"multi_label": False},
    "timm": {"backbone": "resnet10t"},
}


def run(path, spectrograms=SPECTROGRAMS):
    return onnxruntime.InferenceSession(str(path)).run(None, {"spectrograms": spectrograms})


def expected(path, spectrograms=SPECTROGRAMS):
    model, description = load_checkpoint(path)
    with torch.inference_mode():
        logits = model.forward_frames(torch.from_numpy(spectrograms))
    score = torch.sigmoid if description.multi_label else lambda z: torch.softmax(z, dim=1)
    return [score(z).numpy() for z in logits if z is not None]


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_torch_for_any_number_of_spectrograms(kind, tmp_path):
    save_random_model(tmp_path / "model.pt", AUDIO, **KINDS[kind])
    exported = export_onnx(tmp_path / "model.pt", tmp_path / "model.onnx", SPECTROGRAMS)
    assert exported.difference <= 1e-4 and exported.n_real == 5
    for spectrograms in (SPECTROGRAMS, SPECTROGRAMS[:1]):
        scores, *frames, embeddings = run(tmp_path / "model.onnx", spectrograms)
        wanted, *wanted_frames = expected(tmp_path / "model.pt", spectrograms)
        assert scores.shape == (len(spectrograms), 3) and scores.std() > 0.01
        np.testing.assert_allclose(scores, wanted, atol=1e-4)
        vectors = load_checkpoint(tmp_path / "model.pt")[0].embed(torch.from_numpy(spectrograms)).detach().numpy()
        np.testing.assert_allclose(embeddings, vectors, atol=1e-4 * np.abs(vectors).max())
        assert len(frames) == len(wanted_frames) == ("sed" in kind)
        for found, frame_scores in zip(frames, wanted_frames, strict=True):
            assert found.shape == (len(spectrograms), 4, 3)
            np.testing.assert_allclose(found, frame_scores.transpose(0, 2, 1), atol=1e-4)


@pytest.mark.parametrize("changes", [{}, {"multi_label": False}])
def test_stored_platt_scaling_is_in_the_graph(changes, tmp_path):
    calibration = Calibration(coefficient=0.6, intercept=-0.8, thresholds={"a": 0.3})
    save_random_model(tmp_path / "model.pt", AUDIO, calibration=calibration, **changes)
    export_onnx(tmp_path / "model.pt", tmp_path / "model.onnx")
    plain = expected(tmp_path / "model.pt")[0]
    scaled = apply_platt(plain, 0.6, -0.8)
    assert np.abs(scaled - plain).max() > 0.05
    np.testing.assert_allclose(run(tmp_path / "model.onnx")[0], scaled, atol=1e-4)


@pytest.fixture(scope="module")
def sed(tmp_path_factory):
    """A folder with an exported model of two classes and frames."""
    folder = tmp_path_factory.mktemp("sed")
    calibration = Calibration(thresholds={"b": 0.7})
    save_random_model(folder / "model.pt", AUDIO, ["Frösche", "b"], calibration=calibration, **SED)
    export_onnx(folder / "model.pt", folder / "model.onnx")
    return folder


def test_file_stands_alone(sed):
    session = onnxruntime.InferenceSession(str(sed / "model.onnx"))
    ports = {port.name: port.shape for port in (*session.get_inputs(), *session.get_outputs())}
    assert list(ports.items()) == [
        ("spectrograms", ["n", 16, 40]),
        ("scores", ["n", 2]),
        ("frame_scores", ["n", 4, 2]),
        ("embeddings", ["n", 192]),
    ]
    meta = session.get_modelmeta().custom_metadata_map
    assert json.loads(meta["class_names"]) == ["Frösche", "b"]
    assert json.loads(meta["thresholds"]) == {"b": 0.7}
    audio = json.loads(meta["audio"])
    assert (audio["sampling_rate"], audio["spec_width"], audio["hop_length"]) == (4000, 40, 50)
    assert OnnxRecognizer(sed / "model.onnx").description == load_checkpoint(sed / "model.pt")[1]


def test_file_says_nothing_of_the_machine_and_is_the_same_each_time(sed):
    export_onnx(sed / "model.pt", sed / "again.onnx")
    content = (sed / "model.onnx").read_bytes()
    assert content == (sed / "again.onnx").read_bytes()
    assert b".py" not in content and b"/lib/" not in content


def test_model_that_cannot_be_exported_is_one_line(tmp_path, monkeypatch):
    def forward(self, spectrograms):
        raise RuntimeError("it has no such operator\nand more")

    save_random_model(tmp_path / "model.pt", AUDIO)
    monkeypatch.setattr(export_module.Scorer, "forward", forward)
    with pytest.raises(
        EarshotError, match=r"model\.pt: its backbone 'cnn' cannot be exported .*no such operator"
    ) as caught:
        export_onnx(tmp_path / "model.pt", tmp_path / "model.onnx")
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)


def test_spectrograms_of_another_size_are_one_line(sed):
    with pytest.raises(EarshotError, match=r"model\.onnx: cannot take spectrograms \(1, 16, 41\)") as caught:
        OnnxRecognizer(sed / "model.onnx").run(np.zeros((1, 16, 41), np.float32))
    assert "\n" not in str(caught.value)


def test_file_whose_scores_differ_is_not_left(tmp_path, monkeypatch):
    save_random_model(tmp_path / "model.pt", AUDIO)
    monkeypatch.setattr(export_module, "TOLERANCE", -1.0)
    with pytest.raises(EarshotError, match=r"model\.pt: outputs of the exported model differ from torch's by up to"):
        export_onnx(tmp_path / "model.pt", tmp_path / "out" / "model.onnx")
    assert list((tmp_path / "out").iterdir()) == []


def test_other_files_are_no_exported_models(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"nothing")
    with pytest.raises(EarshotError, match=r"a\.onnx: is no exported model that can be used") as caught:
        OnnxRecognizer(tmp_path / "a.onnx")
    assert "\n" not in str(caught.value)


def test_stage_exports_each_model_of_a_folder_and_says_how_to_use_it(tmp_path, capfd):
    folder = write_data_set(tmp_path / "set", 1)
    params = write_params(tmp_path / "params.yaml", folder, infer={"overlap": 0.25})
    save_random_model(tmp_path / "models/1.pt", AUDIO)
    save_random_model(tmp_path / "models/2.pt", AUDIO, seed=2, **SED)
    export(model=str(tmp_path / "models"), output=str(tmp_path / "onnx"), params=str(params))
    output, errors = capfd.readouterr()
    assert errors == ""
    assert output.count("largest difference from torch on 42 random and 11 real spectrograms") == 2
    assert "input   spectrograms  float32 (n, 16, 40): windows of 0.5 s at 4000 Hz" in output
    assert "output  frame_scores  float32 (n, 4, 3)" in output
    for name in ("1", "2"):
        scores = run(tmp_path / f"onnx/{name}.onnx")[0]
        np.testing.assert_allclose(scores, expected(tmp_path / f"models/{name}.pt")[0], atol=1e-4)


@pytest.fixture
def damaged(tmp_path):
    """A data set with two recordings, the first of which cannot be read, and its settings file."""
    folder = write_data_set(tmp_path / "set", 2)
    (folder / "recordings/r00.wav").write_text("no sound")
    save_random_model(tmp_path / "model.pt", AUDIO)
    params = write_params(tmp_path / "params.yaml", folder, infer={"overlap": 0.25})
    return {"model": str(tmp_path / "model.pt"), "output": str(tmp_path / "onnx"), "params": str(params)}


def test_recording_that_cannot_be_read_is_passed_over(damaged, tmp_path, capsys):
    export(**damaged)
    assert "42 random and 11 real spectrograms" in capsys.readouterr().out
    (tmp_path / "set/recordings/r01.wav").write_text("no sound")
    export(**damaged)
    assert "42 random and 0 real spectrograms" in capsys.readouterr().out


def test_recording_that_was_asked_for_and_cannot_be_read_is_named(damaged, tmp_path):
    with pytest.raises(EarshotError, match=r"set/recordings/r00\.wav: cannot be decoded"):
        export(**damaged, recordings=str(tmp_path / "set/recordings"))
