from pathlib import Path

import yaml

from lib.config.inputs import INPUTS, unwatched_inputs
from lib.config.schema import InferSettings, Settings

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
    assert {name for name, stage in stages.items() if str(INPUTS) in stage["deps"]} == {"train", "infer"}
    assert (PROJECT / INPUTS).is_dir()
