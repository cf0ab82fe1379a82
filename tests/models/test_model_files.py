import pytest

from lib.core.errors import EarshotError
from lib.models.model_files import model_files, remove_other_models


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


def test_other_models_of_a_training_are_removed_with_their_descriptions(folder):
    remove_other_models(folder / "model.pt", [folder / "model-f1.pt"])
    assert sorted(file.name for file in folder.iterdir()) == [
        *("model-f1.json", "model-f1.pt", "model-mine.json", "model-mine.pt", "other.json", "other.pt"),
    ]
