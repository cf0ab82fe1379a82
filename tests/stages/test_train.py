import json
from pathlib import Path

import pandas as pd
import pytest

from lib.core.errors import EarshotError, SettingsError
from lib.models.description import read_description
from lib.training_data.stored_windows import StoredWindows
from stages.extract import extract
from stages.train import train
from tests.models.builders import save_random_model
from tests.training.builders import with_settings
from tests.training_data.builders import AUDIO, extract_folder, write_clips, write_data_set, write_params


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    folder = write_data_set(tmp_path_factory.mktemp("train") / "set", 6)
    extract_folder(folder, folder / "training.db")
    return folder / "training.db"


@pytest.fixture
def run(database, tmp_path, monkeypatch):
    """A function that runs the stage in a project of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "params.yaml").write_text(json.dumps({"train": with_settings(epochs=2, epoch_windows=0).model_dump()}))
    files = {"model": "models/model.pt", "metrics": "train.json", "curves": "train.csv", "state": "state"}
    return lambda **changes: train(**{"database": str(database)} | files | changes)


def test_a_row_is_written_for_each_epoch_of_each_fold_and_their_mean(run, tmp_path):
    run(num_folds=2)
    curves, metrics = pd.read_csv(tmp_path / "train.csv"), json.loads((tmp_path / "train.json").read_text())
    assert curves[["fold", "epoch"]].values.tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]
    last = curves[curves.epoch == 2].val_loss
    assert metrics["val_loss"] == pytest.approx(last.mean(), abs=2e-6)
    assert metrics["val_loss_std"] == pytest.approx(last.std(), abs=2e-6)
    assert sorted(p.name for p in (tmp_path / "models").glob("*.pt")) == ["model-f1.pt", "model-f2.pt"]
    assert not list(tmp_path.glob("state*"))


def test_a_model_is_kept_as_long_as_nothing_changes_that_it_is_computed_from(run, tmp_path, capsys):
    run(save_last_n=2)
    first = {path.name: path.read_bytes() for path in (tmp_path / "models").iterdir()}
    run()
    assert {path.name for path in (tmp_path / "models").iterdir()} == {"model.pt", "model.json"}
    capsys.readouterr()
    run(save_last_n=2, workers=1)
    assert "nothing has changed that the model is computed from" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in (tmp_path / "models").iterdir()} == first


def test_figures_lie_in_metrics_for_the_project_s_model_and_beside_any_other(run, tmp_path, capsys):
    for model in ("data/models/model.pt", "data/other/model.pt"):
        run(model=model, metrics="", curves="")
    assert sorted(p.name for p in (tmp_path / "metrics").iterdir()) == ["train.csv", "train.json"]
    names = ["model.json", "model.pt", "train.csv", "train.json"]
    assert sorted(p.name for p in (tmp_path / "data/other").iterdir()) == names
    first = {path.name: path.read_bytes() for path in (tmp_path / "data/other").iterdir()}
    run(model="data/other/model.pt", metrics="", curves="")
    assert capsys.readouterr().out.splitlines()[-1].endswith("kept -> data/other")
    assert {path.name: path.read_bytes() for path in (tmp_path / "data/other").iterdir()} == first


def test_it_does_not_start_from_a_file_in_the_folder_that_dvc_empties(run, tmp_path):
    save_random_model(tmp_path / "models/known.pt", AUDIO)
    with pytest.raises(
        SettingsError, match=r"known\.pt': lies in models, whose content the new model replaces; copy it"
    ) as caught:
        run(load_checkpoint=str(tmp_path / "models/../models/known.pt"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("format", ["irmastrain", "irmastest", "csv", "openmic", "sets"])
def test_sets_of_clips_are_extracted_and_trained_on(run, tmp_path, format):
    truths = write_clips(tmp_path / "set", format)
    sections = {"data": {"train": {"path": "set", "format": format}}, "infer": {"overlap": 0.0}}
    params = write_params(tmp_path / "clips.json", Path("set"), evaluate={"min_seconds": 0.2}, **sections)
    extract(database="clips.db", metrics="extract.json", params=str(params))
    windows = StoredWindows("clips.db")
    classes = {name: set() for name in windows.recordings}
    for recording, labels in zip(windows.recordings[windows.recording], windows.labels, strict=True):
        classes[recording] |= set(windows.classes["name"][labels])
    assert classes == {clip: {name} for clip, name in truths.items()}
    run(database="clips.db", epochs=1)
    assert read_description("models/model.pt").class_names == ["high", "low", "mid"]
    assert len(pd.read_csv("train.csv")) == 1


@pytest.mark.parametrize(
    ("key", "name", "close"), [("backbone", "efficientnetb0", "efficientnet_b0"), ("optimizer", "lam", "lamb")]
)
def test_an_unknown_name_is_one_line_before_any_epoch(run, tmp_path, capsys, key, name, close):
    with pytest.raises(SettingsError, match=rf"^train\.{key} = '{name}': must be .*\b{close}\b") as caught:
        run(**{key: name})
    assert "\n" not in str(caught.value) and "epoch" not in capsys.readouterr().out
    assert not list((tmp_path / "models").glob("*.pt")) and not list(tmp_path.glob("state*"))


def test_missing_database_is_named(run):
    with pytest.raises(EarshotError, match=r"none\.db: no such file; run the extract stage") as caught:
        run(database="none.db")
    assert "\n" not in str(caught.value)
