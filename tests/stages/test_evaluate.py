import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from lib.core.errors import DataSetError, Problem
from lib.results.results_store import ResultsStore
from lib.tracking.mlflow_store import mlflow_client
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
    figures = json.loads(files["evaluation.json"], parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert all(isinstance(value, int | float) for value in figures.values())
    assert {"macro_pr_auc", "micro_pr_auc_low", "best_f1", "best_threshold", "n_recordings"} <= set(figures)
    assert {"event_f1", "event_f1_low", "event_precision_high", "event_recall", "event_onset_f1_low"} <= set(figures)
    shown = capsys.readouterr()
    assert f"macro PR-AUC    {figures['macro_pr_auc']:>7.3f}" in shown.out
    assert f"event F1        {figures['event_f1']:>7.3f}" in shown.out
    assert shown.err == "" and len(files) == 18 and "example.png" in files
    assert pd.read_csv("report/events.csv").at[4, "f1"] == pytest.approx(figures["event_f1"], abs=1e-5)


def test_the_same_input_gives_the_same_files_which_are_kept_until_something_changes(run, capsys):
    first = run()
    shutil.rmtree(".cache")
    assert run() == first
    for path in Path("report").iterdir():
        path.write_text("of another run")
    capsys.readouterr()
    assert run() == first and "macro PR-AUC" in capsys.readouterr().out
    assert json.loads(run(threshold=0.0)["evaluation.json"])["recall"] == 1
    annotations = pd.read_csv("test/annotations.csv", dtype={"recording": str})
    annotations[1:].to_csv("test/annotations.csv", index=False)
    assert run()["evaluation.json"] != first["evaluation.json"]


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
