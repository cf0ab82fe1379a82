"""The class Trainer, as its reference documents it."""

import json
import shutil

import pandas as pd
import pytest

from lib import Trainer, get_config, load_from_checkpoint
from lib.errors import EarshotError, SettingsError
from lib.inference.predictor import Predictor
from stages.train import train as train_stage
from tests.database.builders import AUDIO, extract_folder
from tests.models.builders import save_random_model
from tests.training.builders import Killed, with_settings


@pytest.fixture
def trainer(folder, tmp_path):
    """A function that makes a trainer of quick settings, with those that are given."""

    def make(prefix=None, **changes):
        cfg = get_config()
        cfg.train = with_settings(epochs=2, epoch_windows=0, **changes)
        return Trainer(prefix, cfg=cfg, database=folder / "training.db", output=tmp_path / "models")

    return make


def test_run_writes_a_checkpoint_that_can_be_used(trainer, tmp_path):
    paths = trainer().run()
    assert paths == [tmp_path / "models/model.pt"]
    assert load_from_checkpoint(str(paths[0])).train_class_names == ["high", "low", "mid"]
    assert sorted(p.name for p in (tmp_path / "models").iterdir()) == ["model.json", "model.pt"]


def test_prefix_begins_the_names_of_checkpoints(trainer, tmp_path):
    paths = [*trainer("first", num_folds=2, save_last_n=2).run(), *trainer("second").run()]
    names = ["first-model-f1-e1", "first-model-f1", "first-model-f2-e1", "first-model-f2", "second-model"]
    assert [path.stem for path in paths] == names
    assert all(path.is_file() for path in paths)


def test_folder_of_checkpoints_is_an_ensemble(trainer, tmp_path):
    trainer(save_last_n=2).run()
    assert Predictor(tmp_path / "models").description.class_names == ["high", "low", "mid"]


def test_killed_run_is_taken_up_again(trainer, tmp_path, monkeypatch):
    whole = trainer("a").run()[0].read_bytes()

    def stop(*arguments):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("lib.training.trainer.save_models", stop)
        with pytest.raises(Killed):
            trainer("b").run()
    states = list(tmp_path.glob(".models-b-model-state*"))
    assert len(states) == 1
    assert sorted(p.name for p in (tmp_path / "models").iterdir()) == ["a-model.json", "a-model.pt"]
    assert trainer("b").run()[0].read_bytes() == whole
    assert not states[0].exists()


def test_what_is_odd_about_the_data_is_shown(folder, tmp_path, capsys):
    shutil.copytree(folder / "recordings", tmp_path / "odd/recordings")
    (tmp_path / "odd/annotations.csv").write_text((folder / "annotations.csv").read_text() + "r00,rare,0.0,3.0\n")
    extract_folder(tmp_path / "odd", tmp_path / "odd.db")
    cfg = get_config()
    cfg.train = with_settings(epochs=1, epoch_windows=0)
    Trainer(cfg=cfg, database=tmp_path / "odd.db", output=tmp_path / "models").run()
    assert "warning: rare: only one recording has this class; add recordings" in capsys.readouterr().err


def test_settings_are_checked_before_anything_is_done(folder, tmp_path):
    cfg = get_config()
    cfg.train = with_settings().model_copy(update={"epochs": 0})
    with pytest.raises(SettingsError, match="epochs = 0"):
        Trainer(cfg=cfg, database=folder / "training.db", output=tmp_path)


def test_missing_database_is_named(tmp_path):
    with pytest.raises(EarshotError, match=r"none\.db: no such file"):
        Trainer(database=tmp_path / "none.db", output=tmp_path).run()


def test_defaults_are_those_of_the_project():
    trainer = Trainer()
    assert str(trainer.database) == "data/training.db"
    assert str(trainer.path) == "data/models/model.pt"
    assert trainer.settings == get_config().train


def test_stage_writes_a_row_for_each_epoch_of_each_fold_and_their_mean(folder, tmp_path):
    content = {"train": with_settings(epochs=2, epoch_windows=0, num_folds=2).model_dump()}
    (tmp_path / "params.yaml").write_text(json.dumps(content))  # YAML holds JSON
    files = {"model": "models/model.pt", "metrics": "train.json", "curves": "train.csv", "state": "state"}
    paths = {name: str(tmp_path / file) for name, file in files.items()}
    train_stage(database=str(folder / "training.db"), params=str(tmp_path / "params.yaml"), **paths)
    curves, metrics = pd.read_csv(paths["curves"]), json.loads((tmp_path / "train.json").read_text())
    assert curves[["fold", "epoch"]].values.tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]
    last = curves[curves.epoch == 2].val_loss
    assert metrics["val_loss"] == pytest.approx(last.mean(), abs=2e-6)
    assert metrics["val_loss_std"] == pytest.approx(last.std(), abs=2e-6)
    assert sorted(p.name for p in (tmp_path / "models").glob("*.pt")) == ["model-f1.pt", "model-f2.pt"]
    assert not list(tmp_path.glob("state*"))


def test_stage_refuses_to_start_from_a_file_in_the_folder_that_dvc_empties(folder, tmp_path):
    (tmp_path / "params.yaml").write_text(json.dumps({"train": with_settings().model_dump()}))
    known = tmp_path / "models/known.pt"
    save_random_model(known, AUDIO)
    with pytest.raises(SettingsError, match=r"known\.pt': lies in .*models, which DVC empties .*; copy it") as caught:
        train_stage(
            database=str(folder / "training.db"),
            model=str(tmp_path / "models/model.pt"),
            params=str(tmp_path / "params.yaml"),
            load_checkpoint=str(tmp_path / "models/../models/known.pt"),
        )
    assert "\n" not in str(caught.value)
