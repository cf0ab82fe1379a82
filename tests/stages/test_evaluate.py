import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from lib.config.schema import AudioSettings, DataSetSettings, ExtractSettings
from lib.core.errors import DataSetError, Problem
from lib.formats.data_sets import read_data_set
from lib.results.results_store import ResultsStore
from lib.tracking.mlflow_store import mlflow_client
from lib.tracking.model_runs.model_run import ModelRun
from lib.training_data.extraction import extract_windows
from stages.evaluate import evaluate
from tests.evaluation.example import write_project


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A function that evaluates the labels of the current folder, and returns the files that it wrote."""
    write_project(tmp_path)
    (tmp_path / "params.yaml").write_text("{}")
    monkeypatch.chdir(tmp_path)

    def run(**overrides) -> dict[str, bytes]:
        settings = {"data.test.path": "test", "bootstrap": 20} | overrides
        evaluate(labels="labels", output="report", metrics="evaluation.json", **settings)
        return {path.name: path.read_bytes() for path in [*Path("report").iterdir(), Path("evaluation.json")]}

    return run


def test_the_stage_writes_flat_figures_tables_and_pictures_and_prints_the_summary(run, capsys):
    files = run()
    compared, figures = (
        json.loads(files[name], parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
        for name in ("evaluation.json", "figures.json")
    )
    assert all(isinstance(value, int | float) for value in (*compared.values(), *figures.values()))
    assert list(compared) == ["macro_pr", "micro_pr", "f1", "event_f1"]
    assert compared == {name: round(figures[name], 4) for name in compared}
    assert {"macro_pr", "micro_pr_low", "best_f1", "best_threshold", "n_recordings"} <= set(figures)
    assert {"event_f1", "event_f1_low", "event_precision_high", "event_recall", "event_onset_f1_low"} <= set(figures)
    shown = capsys.readouterr()
    assert f"macro PR-AUC    {figures['macro_pr']:>7.3f}" in shown.out
    assert f"event F1        {figures['event_f1']:>7.3f}" in shown.out
    assert shown.err == "" and len(files) == 19 and "example.png" in files
    assert pd.read_csv("report/events.csv").at[4, "f1"] == pytest.approx(figures["event_f1"], abs=1e-5)


def test_the_model_run_is_committed_with_the_matches_that_the_event_figures_count(run):
    run()
    events = pd.read_csv("report/events.csv").loc[4, ["annotated", "found", "tp"]].tolist()
    with ModelRun("labels", "test") as model_run:
        assert model_run.info()["status"] == "committed"
        tables = [model_run.matches(name) for name in read_data_set(DataSetSettings(path="test")).recordings]
    table = pd.concat(tables)
    assert [int(table[column].notna().sum()) for column in ("annotation", "annotation_id", "iou")] == events
    matched = table[table["iou"].notna()]
    assert len(matched) and (matched["label"] == matched["ground_truth_label"]).all()


def test_the_same_input_gives_the_same_files_which_are_kept_until_something_changes(run, capsys):
    first = run()
    shutil.rmtree(".cache")
    assert run() == first
    for path in Path("report").iterdir():
        path.write_text("of another run")
    capsys.readouterr()
    assert run() == first and "macro PR-AUC" in capsys.readouterr().out
    assert json.loads(run(threshold=0.0)["figures.json"])["recall"] == 1
    annotations = pd.read_csv("test/annotations.csv", dtype={"recording": str})
    annotations[1:].to_csv("test/annotations.csv", index=False)
    assert run()["figures.json"] != first["figures.json"]


def test_problems_are_shown_one_line_each(run, capsys):
    with ResultsStore("labels") as store:
        store.write_failure("000", "000.wav", Problem("000", "the file is empty", ""))
        store.commit()
    run()
    warnings = capsys.readouterr().err.splitlines()
    assert [line for line in warnings if "000: left out of the evaluation: the file is empty" in line]


def test_without_results_the_error_says_what_to_run(run):
    Path("labels/results.db").unlink()
    with pytest.raises(DataSetError, match=r"results\.db: .*run the infer stage"):
        run()


def test_kept_figures_are_shown_and_tracked_like_new_ones(run, capsys, monkeypatch, mlflow_uri):
    with ResultsStore("labels") as store:
        store.write_failure("000", "000.wav", Problem("000", "the file is empty", ""))
        store.commit()
    Path("metrics").mkdir()
    Path("metrics/train.csv").write_text("epoch,train_loss\n1,0.5\n")
    monkeypatch.setenv("DVC_STAGE", "evaluate")
    shown = []
    for name in ("first", "second"):
        monkeypatch.setenv("DVC_EXP_NAME", name)
        run(**{"tracking.log_model": False, "tracking.uri": mlflow_uri, "tracking.experiment": "kept"})
        shown.append(capsys.readouterr())
    assert shown[0] == shown[1] and "the file is empty" in shown[0].err
    client = mlflow_client(mlflow_uri)
    runs = client.search_runs([client.get_experiment_by_name("kept").experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"] * 2
    assert runs[0].data.metrics == runs[1].data.metrics != {}


def test_a_problem_that_was_mended_is_not_shown_again(run, capsys):
    annotations = Path("test/annotations.csv")
    content = annotations.read_text()
    annotations.write_text(f"{content}nowhere,a,0,1\n")
    run()
    assert "nowhere" in capsys.readouterr().err
    annotations.write_text(content)
    assert "nowhere" not in run()["summary.txt"].decode() + capsys.readouterr().err


def test_test_recordings_that_were_trained_with_are_told_of_each_time_and_in_the_summary(run, capsys):
    run()
    assert "trained with" not in capsys.readouterr().err
    extract_windows(read_data_set(DataSetSettings(path="test")), AudioSettings(), ExtractSettings(), "training.db")
    line = "test: the training database holds 4 of its 4 recordings, so the figures may be too good"
    for _ in range(2):
        run(database="training.db")
        assert line in capsys.readouterr().err and line in Path("report/summary.txt").read_text()


def test_scenarios_are_scored_beside_the_whole_and_without_any_nothing_changes(run, capsys):
    before = run()
    Path("data/scenarios").mkdir(parents=True)
    Path("data/scenarios/.gitkeep").touch()
    assert run() == before
    annotations = pd.read_csv("test/annotations.csv", dtype={"recording": str})
    first = annotations.iloc[0]
    rows = f"{first['recording']},0,inf,,regression\n"
    Path("data/scenarios/dawn chorus.csv").write_text(f"recording,start_time,end_time,class,kind\n{rows}")
    capsys.readouterr()
    after = run()
    compared = json.loads(after["evaluation.json"])
    assert set(compared.pop("scenarios")["dawn chorus"]) >= {"recall", "f1"}
    assert compared == json.loads(before["evaluation.json"])
    table = pd.read_csv("report/scenarios.csv", dtype={"recording": str})
    assert table.at[0, "scenario"] == "dawn chorus" and (table["recording"].dropna() == first["recording"]).all()
    assert ("regression test dawn chorus: fails" in capsys.readouterr().err) == (len(table) > 1)
    assert run() == after  # kept
    Path("data/scenarios/dawn chorus.csv").unlink()
    assert json.loads(run()["evaluation.json"]) == compared
