from pathlib import Path

import pytest
import yaml

from lib.config.inputs import INPUTS, REGISTERED, input_file, registered_place, unwatched_inputs
from lib.config.schema import InferSettings, Settings
from lib.core.errors import SettingsError

PROJECT = Path(__file__).parents[2]


def test_a_file_that_dvc_does_not_watch_is_told_in_the_pipeline(tmp_path, monkeypatch):
    inside, outside = str(INPUTS / "unwanted.txt"), str(tmp_path / "table.csv")
    settings = Settings(infer=InferSettings(exclude=inside, recordings_table=outside))
    names = "infer.exclude", "infer.recordings_table", "train.load_checkpoint"
    monkeypatch.delenv("DVC_STAGE", raising=False)
    assert unwatched_inputs(settings, *names) == []
    monkeypatch.setenv("DVC_STAGE", "infer")
    (problem,) = unwatched_inputs(settings, *names)
    assert problem.subject == f"infer.recordings_table = {outside!r}" and str(INPUTS) in problem.remedy


def test_the_stages_that_read_such_files_depend_on_their_folder():
    stages = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]
    assert {name for name, stage in stages.items() if str(INPUTS) in stage["deps"]} == {"train", "infer", "evaluate"}
    assert (PROJECT / INPUTS).is_dir()
    users = {"train": {"train"}, "infer": {"infer", "evaluate"}}
    for section, names in users.items():
        copies = str(REGISTERED / section)
        assert {name for name, stage in stages.items() if copies in stage["deps"]} == names
        assert (PROJECT / copies).is_dir()


def test_a_folder_of_noise_recordings_is_such_a_file(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "train")
    folder = "train.augmentations.background_noise.folder"
    settings = Settings()
    assert unwatched_inputs(settings, folder) == []
    settings.train.augmentations = [{"name": "background_noise", "folder": str(tmp_path)}]
    assert [problem.subject for problem in unwatched_inputs(settings, folder)] == [f"{folder} = {str(tmp_path)!r}"]


def test_a_registered_model_lies_where_dvc_watches_it_for_the_stages_that_use_it(monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "infer")
    settings = Settings(infer={"model": "registry:frogs/3"}, train={"load_checkpoint": "registry:../frogs@champion"})
    assert input_file(settings, "infer.model") == REGISTERED / "infer/frogs@3"
    assert input_file(settings, "train.load_checkpoint").parent == REGISTERED / "train"
    assert unwatched_inputs(settings, "infer.model", "train.load_checkpoint") == []


@pytest.mark.parametrize("name", ["", "  ", ".", "..", "/", "../..", ". ."])
def test_a_reference_without_a_name_is_an_error_and_not_the_folder_of_all_copies(name):
    with pytest.raises(SettingsError, match="names no registered model; write registry:NAME@ALIAS"):
        registered_place("infer.model", f"registry:{name}")
