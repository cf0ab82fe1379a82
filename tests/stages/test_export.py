import numpy as np
import onnxruntime
import pytest
import torch

from lib.core.downloads import sha256_of
from lib.core.errors import EarshotError
from lib.tracking.registry.model_card import ModelCard
from stages.export import export
from tests.models.builders import save_random_model
from tests.training_data.builders import AUDIO, write_data_set, write_params


@pytest.fixture
def arguments(tmp_path):
    folder = write_data_set(tmp_path / "set", 1)
    params = write_params(tmp_path / "params.yaml", folder, infer={"overlap": 0.25})
    return {"model": str(tmp_path / "models"), "output": str(tmp_path / "onnx"), "params": str(params)}


def test_each_model_of_a_folder_is_exported_and_its_use_is_shown(arguments, tmp_path, capfd):
    kinds = {"1": {}, "2": {"seed": 2, "head": "sed", "sed_fps": 8.0}}
    models = {name: save_random_model(tmp_path / f"models/{name}.pt", AUDIO, **kind) for name, kind in kinds.items()}
    export(**arguments)
    output, errors = capfd.readouterr()
    assert errors == ""
    assert output.count("largest difference from torch on 42 random and 11 real windows") == 2
    assert "input   spectrograms  float32 (n, 16, 40): windows of 0.5 s at 4000 Hz" in output
    assert "output  frame_scores  float32 (n, 4, 3)" in output
    spectrograms = np.random.default_rng(1).random((3, 16, 40), np.float32)
    for name, model in models.items():
        session = onnxruntime.InferenceSession(str(tmp_path / f"onnx/{name}.onnx"))
        card = ModelCard.model_validate_json(session.get_modelmeta().custom_metadata_map["model_card"])
        assert card.name == name and [each.name for each in card.classes] == ["a", "b", "c"]
        assert list(card.outputs) == [port.name for port in session.get_outputs()]
        assert card.weights == {f"{name}.pt": sha256_of(tmp_path / f"models/{name}.pt")}
        scores = session.run(None, {"spectrograms": spectrograms})[0]
        expected = torch.sigmoid(model(torch.from_numpy(spectrograms))).detach().numpy()
        np.testing.assert_allclose(scores, expected, atol=1e-4)


def test_only_the_pipelines_own_model_gets_the_projects_licence(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/inputs").mkdir(parents=True)
    (tmp_path / "data/inputs/model_card.yaml").write_text("license: CC0\n")
    for folder, license in (("data/models", "CC0"), ("theirs", None)):
        save_random_model(tmp_path / folder / "frogs.pt", AUDIO)
        export(**arguments | {"model": folder})
        session = onnxruntime.InferenceSession(str(tmp_path / "onnx/frogs.onnx"))
        card = ModelCard.model_validate_json(session.get_modelmeta().custom_metadata_map["model_card"])
        assert card.details.license == license


def test_a_recording_that_was_asked_for_and_cannot_be_read_is_named(arguments, tmp_path):
    save_random_model(tmp_path / "models/1.pt", AUDIO)
    (tmp_path / "set/recordings/r00.wav").write_text("no sound")
    with pytest.raises(EarshotError, match=r"set/recordings/r00\.wav: cannot be decoded"):
        export(**arguments, recordings=str(tmp_path / "set/recordings"))
    assert not (tmp_path / "onnx").exists()
