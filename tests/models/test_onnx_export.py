"""Exported files are loaded as a program would that has nothing of this project: with ONNX Runtime alone."""

import json

import numpy as np
import onnxruntime
import pytest
import torch

from lib.audio.spectrograms import cut_windows, level_frames
from lib.core.errors import EarshotError
from lib.models import onnx_export as export_module
from lib.models.checkpoints import load_checkpoint, save_checkpoint
from lib.models.description import Calibration, Description
from lib.models.onnx_export import comparison_windows, export_onnx
from lib.models.platt_scaling import apply_platt
from lib.models.recognizer import build
from tests.models.builders import frozen_description, save_random_model
from tests.models.onnx_models import spectrogram_model, waveform_model
from tests.training_data.builders import AUDIO, PITCHES, tones, write_data_set

SAMPLES = tones(3, 4.0, tuple(PITCHES))[0].astype(np.float32)
SPECTROGRAMS = next(cut_windows(level_frames([SAMPLES], AUDIO), AUDIO, 0.7, 5)).inputs
SED = {"head": "sed", "sed_fps": 8.0}
SCALED = {"calibration": Calibration(coefficient=0.6, intercept=-0.8, thresholds={"a": 0.3})}
KINDS = {
    "multi-label": {},
    "single-label sed": SED | {"multi_label": False},
    "single-label scaled of timm": SCALED | {"backbone": "resnet10t", "multi_label": False},
}


def run(path, spectrograms=SPECTROGRAMS):
    return onnxruntime.InferenceSession(str(path)).run(None, {"spectrograms": spectrograms})


def expected(path, spectrograms=SPECTROGRAMS):
    model, description = load_checkpoint(path)
    with torch.inference_mode():
        logits = model.forward_frames(torch.from_numpy(spectrograms))
    score = torch.sigmoid if description.multi_label else lambda z: torch.softmax(z, dim=1)
    return [apply_platt(score(z).numpy(), *description.stored_calibration.scaling) for z in logits if z is not None]


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
        for frame_scores, wanted in zip(frames, wanted_frames, strict=True):
            assert frame_scores.shape == (len(spectrograms), 4, 3)
            np.testing.assert_allclose(frame_scores, wanted.transpose(0, 2, 1), atol=1e-4)


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
    assert Description.model_validate_json(meta["description"]) == load_checkpoint(sed / "model.pt")[1]


def test_file_says_nothing_of_the_machine_and_is_the_same_each_time(sed):
    export_onnx(sed / "model.pt", sed / "again.onnx")
    content = (sed / "model.onnx").read_bytes()
    assert content == (sed / "again.onnx").read_bytes()
    assert b".py" not in content and b"/lib/" not in content


def test_model_that_cannot_be_exported_is_one_line(tmp_path, monkeypatch):
    def fail(*_, **options):  # as torch does, after it has tried each of its ways
        try:
            raise RuntimeError("it has no such operator\nand more")
        except RuntimeError as error:
            raise ValueError("\x1b[96mFailed to export the model.\x1b[0m\nSummary") from error

    save_random_model(tmp_path / "model.pt", AUDIO)
    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(
        EarshotError, match=r"model\.pt: its backbone 'cnn' cannot be exported .*no such operator"
    ) as caught:
        export_onnx(tmp_path / "model.pt", tmp_path / "model.onnx")
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)


def test_file_whose_scores_differ_is_not_left(tmp_path, monkeypatch):
    path = spectrogram_model(tmp_path / "bank.onnx", AUDIO)
    description = frozen_description(path)
    save_checkpoint(tmp_path / "model.pt", build(description, onnx=path.read_bytes()), description)
    monkeypatch.setattr(export_module, "TOLERANCE", -1.0)
    with pytest.raises(EarshotError, match=r"model\.pt: outputs of the exported model differ from torch's by up to"):
        export_onnx(tmp_path / "model.pt", tmp_path / "out" / "model.onnx")
    assert list((tmp_path / "out").iterdir()) == []


def test_scores_are_compared_on_the_first_recording_that_can_be_read(tmp_path):
    folder = write_data_set(tmp_path / "set", 2)
    save_random_model(tmp_path / "model.pt", AUDIO)
    (folder / "recordings/r00.wav").write_text("no sound")
    files = sorted((folder / "recordings").iterdir())
    assert comparison_windows(files, tmp_path / "model.pt", must_be_readable=False).shape == (11, 16, 40)
    assert comparison_windows(files[:1], tmp_path / "model.pt", must_be_readable=False) is None
    with pytest.raises(EarshotError, match=r"set/recordings/r00\.wav: cannot be decoded"):
        comparison_windows(files, tmp_path / "model.pt", must_be_readable=True)


WAVEFORMS = np.random.default_rng(5).uniform(-0.5, 0.5, (5, 8000)).astype(np.float32)
WAVEFORM_AUDIO = AUDIO.model_copy(update={"spec_duration": 2.0})
FROZEN = {
    "spectrograms": (lambda path: spectrogram_model(path, AUDIO, 24), {}),
    "spectrograms of an old opset": (lambda path: spectrogram_model(path, AUDIO, 24, "nctf", opset=13), SCALED),
    "waveforms": (
        lambda path: waveform_model(path, 8000, 4000, 24),
        {"audio": WAVEFORM_AUDIO, "frontend": "waveform", "head": "deep"},
    ),
}


@pytest.mark.parametrize("kind", FROZEN)
def test_a_frozen_backbone_and_its_head_become_one_file(kind, tmp_path):
    write, changes = FROZEN[kind]
    windows = WAVEFORMS if kind == "waveforms" else SPECTROGRAMS
    name = "waveforms" if kind == "waveforms" else "spectrograms"
    description = frozen_description(write(tmp_path / "bank.onnx"), **{"audio": AUDIO, **changes})
    model = build(description, onnx=(tmp_path / "bank.onnx").read_bytes()).eval()
    save_checkpoint(tmp_path / "model.pt", model, description)
    (tmp_path / "bank.onnx").unlink()
    exported = export_onnx(tmp_path / "model.pt", tmp_path / "model.onnx", windows)
    assert exported.difference <= 1e-4
    ports = [(port.direction, port.name, port.shape) for port in exported.ports]
    assert ports == [
        ("input", name, ("n", *windows.shape[1:])),
        ("output", "scores", ("n", 3)),
        ("output", "embeddings", ("n", 24)),
    ]
    for part in (windows, windows[:1]):
        session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
        scores, embeddings = session.run(None, {name: part})
        np.testing.assert_allclose(scores, expected(tmp_path / "model.pt", part)[0], atol=1e-4)
        vectors = load_checkpoint(tmp_path / "model.pt")[0].embed(torch.from_numpy(part)).numpy()
        np.testing.assert_allclose(embeddings, vectors, atol=1e-4)


def test_a_backbone_of_a_fixed_number_of_windows_is_named(tmp_path):
    path = waveform_model(tmp_path / "bank.onnx", 8000, 4000, batch=2)
    description = frozen_description(path, WAVEFORM_AUDIO, frontend="waveform")
    save_checkpoint(tmp_path / "model.pt", build(description, onnx=path.read_bytes()), description)
    with pytest.raises(EarshotError, match=r"'onnx:bank\.onnx' takes 2 windows at a time and no other number; train"):
        export_onnx(tmp_path / "model.pt", tmp_path / "model.onnx")
