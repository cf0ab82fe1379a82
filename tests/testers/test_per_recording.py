import numpy as np
import pandas as pd
import pytest

from lib import PerRecordingTester
from tests.evaluation.folders import by_recording, read_rows, write_labels, written

ROWS = ['r,"A,C"', "s,A", "t,"]
LABELS = {
    "r": [(0, "A", 0.9), (3, "A", 0.5), (6, "B", 0.8), (9, "C", 0.2)],
    "s": [(0, "A", 0.4), (0, "C", 0.6)],
    "t": [(0, "B", 0.1), (3, "A", 0.3)],
}
FILES = {
    *("pr_table.csv", "pr_curve.csv", "pr_curve.png", "summary_report.txt"),
    *("recording_details.csv", "recording_summary.csv", "class.csv"),
}


@pytest.fixture
def tester(tmp_path) -> PerRecordingTester:
    return by_recording(tmp_path, LABELS, ROWS)


def test_annotations(tester):
    tester.get_annotations()
    assert tester.annotations == {"r": ["A", "C"], "s": ["A"], "t": []}
    assert tester.annotated_class_set == {"A", "C"} and tester.annotated_classes == ["A", "C"]


def test_a_recording_scores_as_its_highest_segment(tester):
    assert tester.y_true_trained.tolist() == [[1, 0, 1], [1, 0, 0], [0, 0, 0]]
    np.testing.assert_allclose(tester.y_pred_trained, [[0.9, 0.8, 0.2], [0.4, 0, 0.6], [0.3, 0.1, 0]], rtol=1e-6)
    assert tester.get_pr_auc_stats()["class_pr_auc"] == pytest.approx({"A": 1, "C": 1 / 2})


def test_the_table_over_thresholds_has_the_documented_keys_and_no_rows_without_precision(tester):
    table = tester.get_pr_table()
    assert set(table) == {"precisions", "recalls", "precision_secs", "tp_secs", "fp_secs", "thresholds"}
    assert table["thresholds"] == pytest.approx(np.arange(1, 91) / 100)  # 0.9 is found last
    here = {name: values[table["thresholds"].index(0.5)] for name, values in table.items()}
    assert (here["precisions"], here["recalls"]) == pytest.approx((1 / 2, 1 / 3))
    assert (here["tp_secs"], here["fp_secs"], here["precision_secs"]) == pytest.approx((6, 3, 2 / 3))


def test_rows_without_precision_are_kept_if_better_ones_follow(tmp_path):
    tester = by_recording(tmp_path, {"r": [(0, "A", 0.2)], "s": [(0, "A", 0.2), (3, "B", 0.9)]}, ["r,A", "s,A"])
    assert len(tester.get_pr_table()["thresholds"]) == 20
    nothing = by_recording(tmp_path / "no", {"r": [(0, "A", 0.2)], "s": [(0, "B", 0.5)]}, ["r,B", "s,A"])
    assert nothing.get_pr_table()["thresholds"] == []
    nothing.run()


def test_a_run_writes_exactly_the_documented_files(tester, tmp_path):
    assert tester.run()["macro_pr_auc"] == tester.map_dict["macro_pr_auc"]
    assert written(tester) == FILES
    folder = str(tmp_path / "recordings")
    assert read_rows(tester, "recording_details.csv") == [
        ["directory", "recording", *(f"{case} count" for case in ("TP", "FP", "FN"))]
        + [f"{case} classes" for case in ("TP", "FP", "FN")],
        [folder, "r", "2", "1", "1", "A", "B", "C"],
        [folder, "s", "0", "1", "1", "", "C", "A"],
        [folder, "t", "0", "0", "0", "", "", ""],
    ]
    assert read_rows(tester, "recording_summary.csv")[0][-1] == "FN count"
    classes = pd.read_csv(tmp_path / "output/class.csv").set_index("class")
    assert classes.at["A", "TP seconds"] == 6 and classes.at["C", "FP seconds"] == 3
    assert classes.at["A", "annotated recordings"] == 2
    summary = (tmp_path / "output/summary_report.txt").read_text()
    assert "TP seconds at precision 0.95 (by seconds) = 3.0" in summary  # above 0.6; up to there, C counts against it


def test_a_precision_that_no_threshold_has_is_reported(tmp_path):
    tester = by_recording(tmp_path, {"r": [(0, "A", 0.5)], "s": [(0, "A", 0.5)]}, ["r,A", "s,"])
    tester.run()
    assert "no threshold has that precision" in (tmp_path / "output/summary_report.txt").read_text()


def test_labels_of_recordings_that_are_not_annotated_do_not_count(tmp_path):
    tester = by_recording(tmp_path, LABELS, ["r,A"])
    write_labels(tmp_path / "labels", {"unheard": [(0, "A", 1.0)]})
    assert tester.units.recordings == ["r"] and tester.y_pred_trained.shape == (1, 3)
