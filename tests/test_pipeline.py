"""dvc.yaml and the code of the real stages: what DVC starts again, and what the stages compute again."""

import re
import sys
from pathlib import Path

import grimp
import pytest
import soundfile
import yaml

from lib.tracking.mlflow_store import mlflow_client
from tests.pipeline_copy import PipelineCopy
from tests.training_data.builders import RATE, tones

PROJECT = Path(__file__).parents[1]
PIPELINE = (PROJECT / "dvc.yaml").read_text(encoding="utf-8")
STAGES = yaml.safe_load(PIPELINE)["stages"]
APART = {
    "sample": {"lib/core", "lib/config"},
    "train": {"lib/results", "lib/inference", "lib/evaluation", "lib/tracking"},
    "infer": {"lib/evaluation", "lib/tracking"},
    "evaluate": {"lib/inference"},
}
"""Rooms that a stage uses and that do not shape its outputs: runs and models in MLflow, and what these use."""


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    sys.path.insert(0, str(PROJECT))
    return grimp.build_graph("lib", "stages", cache_dir=None)


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_the_rooms_that_it_uses_and_on_no_others(name, imports):
    modules = imports.find_upstream_modules(f"stages.{name.replace('-', '_')}")
    rooms = {"/".join(module.split(".")[:2]) for module in modules if module.startswith("lib.")}
    assert {dep for dep in STAGES[name]["deps"] if dep.startswith("lib/")} == rooms - APART.get(name, set())


def test_dvc_yaml_reads_like_a_table_of_contents():
    assert len(PIPELINE.splitlines()) <= 130


@pytest.fixture(scope="module")
def repro(tmp_path_factory, mlflow_uri):
    """Run `dvc repro` in a copy of the project; returns what it prints and the md5s of the outputs."""
    copy = PipelineCopy(tmp_path_factory.mktemp("pipeline") / "project", mlflow_uri)

    def run() -> tuple[str, dict[str, str]]:
        return copy.repro()

    run.folder = copy.folder
    return run


def test_a_comment_recomputes_nothing_and_a_factor_all_that_depends_on_it(repro):
    path = repro.folder / "lib/audio/spectrograms.py"
    code = path.read_text()
    printed, first = repro()
    assert "6 recordings (6 new" in printed

    path.write_text(code.replace('"""Spectrograms', '# A comment, and another docstring.\n"""Pictures', 1))
    assert path.read_text() != code
    printed, outputs = repro()
    assert "Running stage 'train'" in printed and "6 recordings (0 new" in printed and "kept" in printed
    assert outputs == first

    path.write_text(code.replace("10 * np.log10(", "12.5 * np.log10("))
    assert path.read_text() != code
    printed, outputs = repro()
    assert "6 recordings (6 new" in printed and "kept" not in printed
    for name in ("data/training.db", "data/models", "data/labels"):
        assert outputs[name] != first[name]


def test_a_setting_that_cannot_be_costs_nothing_that_was_made(repro):
    _, first = repro()
    params = repro.folder / "params.yaml"
    text = params.read_text()
    params.write_text(re.sub(r"  epochs: \d+", "  epochs: many", text))
    with pytest.raises(AssertionError, match=r"train\.epochs = 'many': must be a valid integer"):
        repro()
    assert (repro.folder / "data/models/model.pt").is_file() and (repro.folder / "data/training.db").is_file()
    params.write_text(text)
    printed, outputs = repro()
    assert "Running stage" not in printed and outputs == first
    kept = [out for name, stage in STAGES.items() if name != "sample" for out in outs_of(stage)]
    assert all(options == {"persist": True} for out in kept for options in out.values())


def outs_of(stage: dict) -> list:
    return [out for kind in ("outs", "metrics") for out in stage.get(kind, ())]


def test_a_recording_added_and_removed_again_costs_no_training_and_leaves_no_run_unfinished(repro, mlflow_uri):
    folder = repro.folder / "set"
    annotations = (folder / "annotations.csv").read_text()
    _, first = repro()
    samples, events = tones(6, 3.0, ("low",))
    soundfile.write(folder / "recordings/r06.wav", samples, RATE)
    (folder / "annotations.csv").write_text(annotations + "".join(f"r06,{a},{b},{c}\n" for a, b, c in events))
    printed, second = repro()
    assert "7 recordings (" in printed and "epoch 1" in printed and second["data/models"] != first["data/models"]
    (folder / "recordings/r06.wav").unlink()
    (folder / "annotations.csv").write_text(annotations)
    printed, third = repro()
    assert "epoch 1" not in printed and third == first
    client = mlflow_client(mlflow_uri)
    runs = client.search_runs([client.get_experiment_by_name("earshot").experiment_id])
    here = [run for run in runs if run.data.tags["mlflow.earshot.folder"] == str(repro.folder)]
    assert {run.info.status for run in here} == {"FINISHED"} and len(here) >= 2
