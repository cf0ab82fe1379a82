import numpy as np
import pandas as pd
import pytest
from matplotlib import image

from lib.config.schema import DataSetSettings
from lib.evaluation.event_metrics import measure_events
from lib.evaluation.metrics_report_writer import summary_text, write_report
from lib.evaluation.segment_metrics import measure
from lib.evaluation.units import segment_units
from lib.formats.data_sets import read_data_set
from lib.results.results_store import ResultsStore
from tests.evaluation.example import make_data_set, write_project, write_results

TABLES = {
    "classes": ["class", "positives", "pr_auc"],
    "thresholds": ["threshold", "precision", "recall", "f1"],
    "pr_curve": ["recall", "precision", "threshold"],
    "roc_curve": ["fpr", "tpr", "threshold"],
    "confusion": ["actual", "predicted", "count", "share"],
    "recordings": ["recording", "seconds", "status", "reason", "segments", "tp", "fp", "fn"],
    "errors": ["kind", "recording", "class", "start_time", "end_time", "score"],
    "events": ["criterion", "value", "precision", "precision_low", "precision_high"],
    "events_classes": ["class", "criterion", "value", "annotated", "found", "tp"],
}
PICTURES = {f"{name}.png" for name in ("pr_curves", "roc_curves", "confusion", "scores", "classes", "events")}
FILES = {*(f"{name}.csv" for name in TABLES), *PICTURES, "summary.txt", "figures.json"}


def report(folder, data_set, store):
    """Returns the results, the files by name, and problems of the example."""
    with store:
        units, problems = segment_units(data_set, store)
        results = measure(units, resamples=20)
        events, _ = measure_events(data_set, store, units.recordings, resamples=20)
        files, example_problems = write_report(folder, results, events, data_set, store, problems)
    assert set(files) == set(folder.iterdir())
    return results, {file.name: file for file in files}, example_problems


@pytest.mark.parametrize("n_classes", [2, 60])
def test_a_report_holds_every_table_and_picture(tmp_path, n_classes):
    write_project(tmp_path, n_classes)
    data_set = read_data_set(DataSetSettings(path=str(tmp_path / "test")))
    results, files, problems = report(tmp_path / "report", data_set, ResultsStore(tmp_path / "labels"))
    assert problems == [] and set(files) == FILES | {"example.png"}
    for name, columns in TABLES.items():
        table = pd.read_csv(files[f"{name}.csv"])
        assert list(table.columns)[: len(columns)] == columns and len(table), name
    for name in (*PICTURES, "example.png"):
        assert image.imread(files[name])[..., :3].std() > 0.01, name
    assert summary_text(results.figures, results.threshold) in files["summary.txt"].read_text()


def test_a_report_of_a_test_set_without_any_sound_is_whole(tmp_path):
    store = write_results(tmp_path / "labels", {"r": 6, "s": 6}, classes=("a$b$", "c"))
    _, files, _ = report(tmp_path / "report", make_data_set([], ["r", "s"]), store)
    assert set(files) == FILES
    assert pd.read_csv(files["classes.csv"])["pr_auc"].isna().all()


def test_recordings_that_failed_are_listed_with_their_reason(tmp_path):
    failed = {"bad": "the file is empty"}
    store = write_results(tmp_path / "labels", {"r": 6}, [("r", "a", 0, 0.9)], failed=failed)
    _, files, _ = report(tmp_path / "report", make_data_set([("r", "a", 0, 3)], ["r", "bad", "new"]), store)
    table = pd.read_csv(files["recordings.csv"]).set_index("recording")
    assert table["status"].to_dict() == {"bad": "failed", "new": "not analyzed", "r": "ok"}
    assert table.at["bad", "reason"] == "the file is empty" and np.isnan(table.at["bad", "tp"])
    assert "the file is empty" in files["summary.txt"].read_text()


def test_the_example_is_the_recording_with_the_most_classes_and_no_old_one_stays_if_it_cannot_be_read(tmp_path):
    (tmp_path / "report").mkdir()
    (tmp_path / "report/example.png").write_text("old")
    rows = [("r", "a", 0, 6), ("s", "a", 0, 3), ("s", "b", 0, 3)]
    store = write_results(tmp_path / "labels", {"r": 6, "s": 6})
    _, _, problems = report(tmp_path / "report", make_data_set(rows, ["r", "s"]), store)
    assert [problem.subject for problem in problems] == ["s"]
