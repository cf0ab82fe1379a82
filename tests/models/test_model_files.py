import pytest

from lib.config.schema import Settings
from lib.core.errors import EarshotError
from lib.inference.lazy_predictor import lazy_predictor
from lib.models.model_files import model_digests, model_files, remove_other_models
from tests.models.builders import save_random_model
from tests.training_data.builders import AUDIO


@pytest.fixture
def folder(tmp_path):
    """A folder with models of a training of folds, and others."""
    for name in ("model-f1", "model-f1-e2", "model-f2", "model", "model-mine", "other"):
        for suffix in (".pt", ".json"):
            (tmp_path / f"{name}{suffix}").touch()
    return tmp_path


def test_folder_means_all_models_in_it(folder):
    assert [file.stem for file in model_files(folder)] == [
        *("model-f1-e2", "model-f1", "model-f2", "model-mine", "model", "other"),
    ]
    assert model_files(folder / "model.pt") == [folder / "model.pt"]


def test_folder_without_models_is_named(tmp_path):
    for nothing in (tmp_path, tmp_path / "none", tmp_path / "none.pt"):
        with pytest.raises(EarshotError, match=f"{nothing}: holds no model"):
            model_files(nothing)


def test_a_model_that_was_replaced_since_its_digests_were_taken_is_named(tmp_path):
    save_random_model(tmp_path / "model.pt", AUDIO)
    digests = model_digests(tmp_path)
    assert list(digests) == ["model.pt"]
    with lazy_predictor(tmp_path, Settings(), digests.values()) as predictor:
        predictor()
    save_random_model(tmp_path / "model.pt", AUDIO, seed=2)
    fault = "was replaced while it was read; run the same command again"
    with lazy_predictor(tmp_path, Settings(), digests.values()) as predictor, pytest.raises(EarshotError, match=fault):
        predictor()


def test_other_models_of_a_training_are_removed_with_their_descriptions(folder):
    remove_other_models(folder / "model.pt", [folder / "model-f1.pt"])
    assert sorted(file.name for file in folder.iterdir()) == [
        *("model-f1.json", "model-f1.pt", "model-mine.json", "model-mine.pt", "other.json", "other.pt"),
    ]
