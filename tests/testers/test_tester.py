"""What all testers do alike, shown by segments."""

import numpy as np
import pytest

from lib import PerSegmentTester
from lib.testers.truths import Annotation
from tests.evaluation.folders import by_segment, write_recordings

SECONDS = {"r": 9, "s": 6}
SOUNDS = ["r,A,0.5,4", "r,C,6.5,7", "s,A,3.0,6.0"]
LABELS = {"r": [(0, "A", 0.9), (3, "A", 0.4), (6, "A", 0.7), (6, "C", 0.8)], "s": [(3, "A", 0.6), (3, "B", 0.2)]}


@pytest.fixture
def tester(tmp_path) -> PerSegmentTester:
    return by_segment(tmp_path, LABELS, SECONDS, SOUNDS)


def test_annotations_that_have_changed_are_read_again(tester, tmp_path):
    before = tester.get_precision_recall(0.5)["recall_trained"]
    with (tmp_path / "annotations.csv").open("a") as file:
        file.write("r,B,0,3\n")
    tester.get_annotations()
    assert tester.annotated_classes == ["A", "B", "C"] and tester.annotated_class_set == {"A", "B", "C"}
    assert (before, tester.get_precision_recall(0.5)["recall_trained"]) == pytest.approx((3 / 4, 3 / 5))


def test_labels_that_annotations_give_a_meaning_are_read_again_with_them(tester, tmp_path):
    tester.initialize()
    assert tester.problems == []
    (tmp_path / "classes.csv").write_text("name,code\nA,Ahorn\n")
    (tmp_path / "annotations.csv").write_text("recording,class,start_time,end_time\nr,Ahorn,0,3\n")
    tester.get_annotations()
    assert tester.annotations == {"r": [Annotation(0, 3, "A")]} and tester.problems == []
    assert tester.y_true_trained.sum() == 1


def test_durations_that_have_changed_are_read_again(tester, tmp_path):
    assert tester.recording_duration == {"r": 9, "s": 6} and len(tester.units.recording) == 5
    write_recordings(tmp_path / "recordings", {"s": 12})
    assert tester.get_recording_info() == {"r": 9, "s": 12}
    assert len(tester.units.recording) == 7


def test_problems_are_those_of_what_was_read_last_in_whatever_order_they_are_asked_for(tmp_path):
    tester = by_segment(tmp_path, LABELS, SECONDS, [*SOUNDS, "gone,A,0,3", "s,A,90,91"])
    first = tester.problems
    assert [problem.subject for problem in first] == ["gone", "gone", "s"]
    tester.initialize()
    assert tester.problems == first
    tester.get_annotations()
    assert tester.problems == first


def test_a_threshold_that_changes_counts_at_once(tester):
    before = tester.details_dict["recall_trained"]
    tester.threshold = 0.3
    assert (before, tester.details_dict["recall_trained"]) == pytest.approx((3 / 4, 1))


def test_statistics_are_those_of_matrices_that_are_set():
    tester = PerSegmentTester("", "", "", "", 0.5)
    tester.trained_classes, tester.annotated_classes = ["A", "B"], ["B"]
    tester.y_true_trained = np.array([[1, 0], [0, 1], [0, 0]], np.float32)
    tester.y_pred_trained = np.array([[0.9, 0.8], [0.1, 0.7], [0.2, 0.3]], np.float32)
    assert tester.get_pr_auc_stats()["macro_pr_auc"] == pytest.approx(1 / 2)
    assert tester.get_roc_auc_stats()["macro_roc_auc"] == pytest.approx(1 / 2)
    tester.y_true_trained = np.zeros((3, 2))
    with pytest.raises(ValueError, match="scores"):
        tester.do_calibration()
