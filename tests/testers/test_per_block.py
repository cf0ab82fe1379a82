import numpy as np
import pytest

from lib import PerBlockTester
from lib.core.errors import DataSetError
from tests.evaluation.example import write_results
from tests.evaluation.folders import CURVE_FILES, PART_FILES, TABLE_KEYS, by_block, read_rows, written

# Blocks of 60 s: A is in the first of r, A and C in the third; the second is not annotated; s-1 holds nothing.
ROWS = ["r,1,A", 'r,3,"A, C"', "s,1,"]
LABELS = {
    "r": [(0, "A", 0.3), (3, "A", 0.9), (57, "C", 0.6), (63, "C", 1.0), (120, "A", 0.2), (126, "B", 0.7)],
    "s": [(6, "A", 0.55)],
}


@pytest.fixture
def tester(tmp_path) -> PerBlockTester:
    return by_block(tmp_path, LABELS, ROWS)


def test_annotations(tester):
    tester.get_annotations()
    assert tester.annotations == {"r": {1: ["A"], 3: ["A", "C"]}, "s": {1: []}}
    assert tester.annotated_class_set == {"A", "C"} and tester.annotated_classes == ["A", "C"]
    assert tester.segments_per_recording == {"r": [0, 2], "s": [0]}
    with pytest.raises(ValueError, match="block_size"):
        PerBlockTester("a", "b", "c", "d", 0.5, block_size=0)


def test_a_block_scores_as_its_highest_segment_and_other_blocks_do_not_count(tester):
    assert tester.y_true_trained.tolist() == [[1, 0, 0], [1, 0, 1], [0, 0, 0]]
    np.testing.assert_allclose(tester.y_pred_trained, [[0.9, 0, 0.6], [0.2, 0.7, 0], [0.55, 0, 0]], rtol=1e-6)
    assert tester.units.start_time.tolist() == [0, 120, 0]


def test_areas_and_seconds_are_those_computed_by_hand(tester):
    # A: 0.9 right, 0.55 wrong, 0.2 right; C: 0.6 wrong, then two without a score, one of them right.
    assert tester.get_pr_auc_stats()["class_pr_auc"] == pytest.approx({"A": (1 + 2 / 3) / 2, "C": 1 / 3})
    assert tester.get_roc_auc_stats()["class_roc_auc"] == pytest.approx({"A": 1 / 2, "C": 1 / 4})
    stats = tester.get_precision_recall(0.2, details=True)
    assert stats["class_valid"].tolist() == pytest.approx([9, 0])
    assert stats["class_invalid"].tolist() == pytest.approx([3, 3])
    assert stats["precision_secs"] == pytest.approx(9 / 15)


def test_seconds_of_a_block_end_with_it_and_overlaps_count_once(tmp_path):
    labels = {"r": [(10.5, "A", 0.9), (12, "A", 0.9), (18, "A", 0.9), (1.5, "A", 0.1)]}
    tester = by_block(tmp_path, labels, ["r,1,A"], block_size=20)
    assert tester.overlap == 1.5
    assert tester.get_precision_recall(0.5)["tp_secs"] == pytest.approx(1.5 + 3 + 2)


def test_rounded_times_of_labels_count_in_the_block_that_they_mean(tmp_path):
    labels = {"r": [(index / 3, "A", 0.9 if index >= 180 else 0.1) for index in range(360)]}
    labels["r"][180] = (59.999, "A", 0.9)
    tester = by_block(tmp_path, labels, ["r,1,A", "r,2,A"], length=1.0)
    assert tester.y_pred_trained[:, 0].tolist() == pytest.approx([0.1, 0.9])


@pytest.mark.parametrize(("start", "block"), [(59.995, 1), (60.0, 2)])
def test_times_of_results_are_exact(tmp_path, start, block):
    tester = by_block(tmp_path, {}, ["r,1,a", "r,2,a"])
    with write_results(tmp_path / "labels", {"r": 4.5}, [("r", "a", 0, 0.9)], start_seconds=start):
        pass
    assert np.argmax(tester.y_pred_trained[:, 0]) == block - 1


def test_the_table_over_thresholds_has_the_documented_keys(tester):
    table = tester.get_pr_table()
    assert set(table) == TABLE_KEYS | {"annotated_precisions_blocks"}
    assert len(table["annotated_precisions_blocks"]) == 100
    assert table["annotated_precisions_blocks"][49] == pytest.approx(1 / 3)
    assert table["trained_precisions"][49] == pytest.approx(1 / 4)


@pytest.mark.parametrize("wanted", [False, True])
def test_a_run_writes_exactly_the_documented_files(tmp_path, wanted):
    tester = by_block(tmp_path, LABELS, ROWS, gen_pr_table=wanted)
    figures = tester.run()
    assert figures["precision_annotated"] == tester.details_dict["precision_annotated"] == pytest.approx(1 / 3)
    assert written(tester) == (PART_FILES | CURVE_FILES if wanted else PART_FILES)
    assert read_rows(tester, "recording_details_trained.csv")[1:] == [
        ["r", "1", "1", "1", "0", "A", "C", ""],
        ["r", "3", "0", "1", "2", "", "B", "A; C"],
        ["s", "1", "0", "1", "0", "", "A", ""],
    ]
    assert read_rows(tester, "recording_summary_trained.csv")[1:] == [["r", "1", "2", "2"], ["s", "0", "1", "0"]]
    header, first, _ = read_rows(tester, "class_annotated.csv")
    assert first[header.index("TP seconds")] == "3.000"


def test_blocks_without_any_recording_that_was_analyzed_are_one_clear_error(tmp_path):
    tester = by_block(tmp_path, {}, ["r,1,a"])
    with write_results(tmp_path / "labels", {"x": 6}, failed={"r": "is empty"}):
        pass
    with pytest.raises(DataSetError, match="none of its recordings"):
        tester.run()
