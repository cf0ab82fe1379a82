import json

import pandas as pd
import pytest
from matplotlib import image

from lib.results.predictions import Prediction
from lib.tracking.model_runs.model_run import ModelRun
from tests.evaluation.example import write_project


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A test set, what infer found in `labels`, and an external model run in `external`."""
    write_project(tmp_path, n_classes=3)
    (tmp_path / "params.yaml").write_text(f"data:\n  test: {{path: {tmp_path}/test}}\nevaluate: {{bootstrap: 50}}\n")
    monkeypatch.chdir(tmp_path)
    table = pd.read_csv("test/annotations.csv", dtype={"recording": str})
    with ModelRun.create("external", "test") as run:
        run.predict([Prediction(row[2], row[1], row[3], row[4], 0.9) for row in table[:5].itertuples()])
    return tmp_path


def test_compare_writes_tables_a_picture_and_json_and_prints_them(project, run_stage):
    runs = [project / "labels", project / "external"]
    code, shown, errors = run_stage(
        "compare", *runs, "--output", project / "out", "--iou", 0.3, "--params", project / "params.yaml"
    )
    assert code == 0, errors
    assert {path.name for path in (project / "out").iterdir()} == {
        *("sounds.csv", "classes.csv", "comparison.json", "comparison.png")
    }
    figures = json.loads((project / "out/comparison.json").read_text())
    by_class = pd.read_csv(project / "out/classes.csv")
    assert [each["class"] for each in figures["classes"]] == by_class["class"].tolist()
    assert [each["recall_difference"] for each in figures["classes"]] == [
        None if value != value else pytest.approx(value, abs=1e-4) for value in by_class["recall_difference"]
    ]
    sounds = pd.read_csv(project / "out/sounds.csv")
    assert (figures["first"], figures["second"], figures["iou"]) == (*map(str, runs), 0.3)
    assert figures["sounds"] == len(sounds) == 8 and figures["both"] == (sounds["found_by"] == "both").sum()
    assert figures["recall_second"] == 5 / 8 and figures["recall_difference_low"] <= figures["recall_difference"]
    assert list(pd.read_csv(project / "out/classes.csv")["class"]) == ["class 0", "class 1", "class 2"]
    assert image.imread(project / "out/comparison.png")[..., :3].std() > 0.01
    assert "8 sounds in 4 recordings, found by: both" in shown and "recall difference" in shown
    assert f"second: {runs[1]} -> {project / 'out'}" in shown


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["labels"], "SECOND: is missing; see --help"),
        (["labels", "nothing"], "results.db: no such file; run the infer stage first"),
        (["labels", "labels", "--iou", "0"], "--iou 0: must be above 0 and at most 1"),
        (["labels", "labels", "--annotations", "a.csv"], "go together; give both or neither"),
    ],
)
def test_invalid_runs_and_arguments_give_one_line(project, run_stage, arguments, fault):
    paths = [project / each if each in ("labels", "nothing") else each for each in arguments]
    code, _, errors = run_stage("compare", *paths, "--params", project / "params.yaml")
    assert code == 1 and len(errors.splitlines()) == 1 and fault in errors


def test_recordings_of_the_same_name_but_other_content_are_left_out(project, run_stage):
    files = sorted(project.glob("test/recordings/*.wav"))
    for file in files[:2]:
        file.write_bytes(file.read_bytes() + b"x")
    arguments = [project / "labels", project / "external", "--output", project / "out"]
    code, shown, errors = run_stage("compare", *arguments, "--params", project / "params.yaml")
    assert code == 0 and "4 sounds in 2 recordings" in shown
    for run, remedy in (("labels", "run the infer stage"), ("external", "predict it by ModelRun.predict")):
        lines = [line for line in errors.splitlines() if f" in {project / run}: " in line]
        assert [line.split(" in ")[0][-3:] for line in lines] == ["000", "001"]
        assert all("was analyzed from a file of other content" in line and remedy in line for line in lines)


@pytest.mark.parametrize("run", ["labels", "external"])
def test_a_run_of_another_data_set_gives_one_line(project, run_stage, run):
    write_project(project / "other", n_classes=3, seed=1)  # recordings of the same names
    with ModelRun.create(project / "other/external", project / "other/test"):
        pass
    runs = [project / "labels", project / "other" / run]
    for paths in (runs, runs[::-1]):
        code, _, errors = run_stage("compare", *paths, "--params", project / "params.yaml")
        assert code == 1 and len(errors.splitlines()) == 1
        assert f"{runs[1]}: is of another data set: its 000, 001, 002, 003 and the test set's are diff" in errors
