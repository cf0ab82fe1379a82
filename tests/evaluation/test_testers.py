"""The testers, class by class and method by method as the reference documents them, on cases computed by hand."""

import csv
import inspect

import numpy as np
import pandas as pd
import pytest
from matplotlib import image

from lib import PerBlockTester, PerRecordingTester, PerSegmentTester
from lib.errors import DataSetError
from lib.evaluation.truths import Annotation
from tests.evaluation.folders import by_block, by_recording, by_segment, write_labels, write_manifest, write_recordings

PARTS = {
    *(f"roc_per_threshold_{part}.csv" for part in ("annotated", "trained")),
    *(f"roc_classic_curve_{part}.png" for part in ("annotated", "trained")),
    *(f"roc_inverted_curve_{part}.{kind}" for part in ("annotated", "trained") for kind in ("csv", "png")),
    *("summary_report.txt", "recording_details_trained.csv", "recording_summary_trained.csv"),
    *("class_annotated.csv", "class_non_annotated.csv", "prediction_range_counts.csv"),
}
CURVES = {
    f"{name}_{part}.{kind}"
    for name in ("pr_per_threshold", "pr_curve")
    for part in ("annotated", "trained")
    for kind in ("csv", "png")
}
RECORDINGS = {
    *("pr_table.csv", "pr_curve.csv", "pr_curve.png", "summary_report.txt"),
    *("recording_details.csv", "recording_summary.csv", "class.csv"),
}
FINE = {f"{part}_{what}_fine" for part in ("annotated", "trained") for what in ("thresholds", "precisions", "recalls")}
TABLE = {"annotated_thresholds", "annotated_precisions_seconds", "annotated_recalls"} | {
    *("trained_thresholds", "trained_precisions", "trained_recalls"),
    *FINE,
}

# Two recordings, 9 and 6 s, in segments of 3 s. A is annotated in r-0, r-1 and s-1, C in r-2; B nowhere.
SECONDS = {"r": 9, "s": 6}
SOUNDS = ["r,A,0.5,4", "r,C,6.5,7", "s,A,3.0,6.0"]
LABELS = {
    "r": [(0, "A", 0.9), (0, "B", 0.6), (3, "A", 0.4), (6, "A", 0.7), (6, "C", 0.8)],
    "s": [(0, "C", 0.3), (3, "A", 0.6), (3, "B", 0.2)],
}


@pytest.fixture
def segments(tmp_path) -> PerSegmentTester:
    return by_segment(tmp_path, LABELS, SECONDS, SOUNDS)


# Blocks of 60 s: A is in the first of r, A and C in the third; the second is not annotated; s-1 holds nothing.
BLOCKS = ["r,1,A", 'r,3,"A, C"', "s,1,"]
BLOCK_LABELS = {
    "r": [(0, "A", 0.3), (3, "A", 0.9), (57, "C", 0.6), (63, "C", 1.0), (120, "A", 0.2), (126, "B", 0.7)],
    "s": [(6, "A", 0.55)],
}


@pytest.fixture
def blocks(tmp_path) -> PerBlockTester:
    return by_block(tmp_path, BLOCK_LABELS, BLOCKS)


RECORDING_ROWS = ['r,"A,C"', "s,A", "t,"]
RECORDING_LABELS = {
    "r": [(0, "A", 0.9), (3, "A", 0.5), (6, "B", 0.8), (9, "C", 0.2)],
    "s": [(0, "A", 0.4), (0, "C", 0.6)],
    "t": [(0, "B", 0.1), (3, "A", 0.3)],
}


@pytest.fixture
def recordings(tmp_path) -> PerRecordingTester:
    return by_recording(tmp_path, RECORDING_LABELS, RECORDING_ROWS)


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def written(tester) -> set[str]:
    from pathlib import Path

    return {path.name for path in Path(tester.output_dir).iterdir()}


# PerSegmentTester


def test_segment_tester_takes_the_documented_arguments():
    names = list(inspect.signature(PerSegmentTester).parameters)
    documented = ["annotation_path", "recording_dir", "label_dir", "output_dir", "threshold"]
    assert names[:9] == [*documented, "calibrate", "cutoff", "coef", "inter"]
    tester = PerSegmentTester("a", "b", "c", "d", 0.5)
    assert [getattr(tester, name) for name in documented] == ["a", "b", "c", "d", 0.5]
    assert tester.calibrate is False and tester.calibration_cutoff == 0.6


@pytest.mark.parametrize(
    ("start", "end", "length", "overlap", "expected"),
    [
        (0, 3, 3, 1.5, [0, 1.5]),
        (2.0, 6.2, 3, 1.5, [0, 1.5, 3.0, 4.5]),
        (1.0, 1.5, 3, 1.5, [0]),
        (3.2, 3.8, 3, 0, [3]),
        (2.8, 3.4, 3, 0, [3]),
        (2.7, 3.4, 3, 0, [0, 3]),
        (0, 0.2, 3, 1.5, []),
        (2.9, 3.1, 3, 0, []),
        (5.45, 6.3, 3, 0, [3, 6]),
    ],
)
def test_offsets_are_aligned_and_hold_min_seconds(start, end, length, overlap, expected):
    assert PerSegmentTester.get_offsets(start, end, length, overlap) == pytest.approx(expected)


def test_offsets_with_other_min_seconds():
    assert PerSegmentTester.get_offsets(2.0, 6.2, 3, 1.5, min_seconds=1.6) == pytest.approx([1.5, 3.0, 4.5])
    assert PerSegmentTester.get_offsets(2.0, 6.2, 3, 0, min_seconds=1) == [0, 3]
    with pytest.raises(ValueError, match="overlap"):
        PerSegmentTester.get_offsets(0, 1, 3, 3)


def test_segments_are_offsets_as_indexes(tmp_path):
    tester = by_segment(tmp_path, {"r": [(0, "A", 0.5), (1.5, "A", 0.5)]}, {"r": 9}, ["r,A,0,3"])
    assert (tester.segment_len, tester.overlap) == (3, 1.5)
    assert tester.get_segments(2.0, 6.2) == [0, 1, 2, 3] and tester.get_segments(0, 0.1) == []


def test_annotations_of_segments(segments):
    segments.initialize()
    segments.get_annotations()
    assert segments.annotations == {
        "r": [Annotation(0.5, 4, "A"), Annotation(6.5, 7, "C")],
        "s": [Annotation(3, 6, "A")],
    }
    assert segments.annotated_class_set == {"A", "C"} and segments.annotated_classes == ["A", "C"]
    assert segments.trained_classes == ["A", "B", "C"]


def test_recording_info_is_the_duration_of_every_recording(segments):
    segments.get_recording_info()
    assert segments.recording_duration == {"r": 9, "s": 6} and segments.recordings == ["r", "s"]


def test_truth_of_segments_is_a_table_with_a_row_each(segments):
    segments.initialize()
    segments.init_y_true()
    truth = segments.y_true_trained_df
    assert truth[""].tolist() == ["r-0", "r-1", "r-2", "s-0", "s-1"]
    assert truth[["A", "B", "C"]].to_numpy().tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0]]
    assert list(segments.y_true_annotated_df.columns) == ["", "A", "C"]
    assert segments.segments_per_recording == {"r": [0, 1, 2], "s": [0, 1]}
    assert np.array_equal(segments.y_true_trained, truth[["A", "B", "C"]])


def test_scores_of_segments(segments):
    expected = [[0.9, 0.6, 0], [0.4, 0, 0], [0.7, 0, 0.8], [0, 0, 0.3], [0.6, 0.2, 0]]
    np.testing.assert_allclose(segments.y_pred_trained, expected, rtol=1e-6)
    np.testing.assert_allclose(segments.y_pred_annotated, np.array(expected)[:, [0, 2]], rtol=1e-6)


def test_areas_of_segments_are_those_computed_by_hand(segments):
    segments.initialize()
    stats = segments.get_pr_auc_stats()
    # A by falling score: 0.9 right, 0.7 wrong, 0.6 right, 0.4 right; C: 0.8 right.
    of_a = (1 + 2 / 3 + 3 / 4) / 3
    assert stats["class_pr_auc"] == pytest.approx({"A": of_a, "C": 1})
    assert stats["macro_pr_auc"] == pytest.approx((of_a + 1) / 2)
    # All: 0.9 right, 0.8 right, 0.7 wrong, 0.6 A right and B wrong, 0.4 right.
    micro = (1 + 1 + 3 / 5 + 4 / 6) / 4
    assert stats["micro_pr_auc_trained"] == pytest.approx(micro)
    assert stats["combined_pr_auc_trained"] == pytest.approx((stats["macro_pr_auc"] + micro) / 2)
    stats = segments.get_roc_auc_stats()
    assert stats["class_roc_auc"] == pytest.approx({"A": 4 / 6, "C": 1})  # two of A's 3 positives lie below 0.7
    assert stats["macro_roc_auc"] == pytest.approx(5 / 6)
    assert set(stats) >= {"micro_roc_auc_trained", "combined_roc_auc_trained", "combined_roc_auc_annotated"}
    assert set(stats) >= {f"roc_{what}_annotated" for what in ("fpr", "tpr", "thresholds")}


def test_precision_and_recall_of_segments_at_a_threshold(segments):
    stats = segments.get_precision_recall(0.5, details=True)
    # A: 0.9 right, 0.7 wrong, 0.6 right, 0.4 missed; C: 0.8 right; B: 0.6 wrong.
    assert stats["precision_annotated"] == pytest.approx(3 / 4) and stats["recall_annotated"] == pytest.approx(3 / 4)
    assert stats["precision_trained"] == pytest.approx(3 / 5) and stats["recall_trained"] == pytest.approx(3 / 4)
    assert (stats["tp_secs"], stats["fp_secs"], stats["precision_secs"]) == pytest.approx((9, 3, 0.75))
    assert stats["class_precision"].tolist() == pytest.approx([2 / 3, 1])
    assert stats["class_recall"].tolist() == pytest.approx([2 / 3, 1])


def test_table_of_segments_has_the_documented_keys(segments):
    segments.initialize()
    table = segments.get_pr_table()
    assert set(table) == TABLE | {"annotated_precisions_minutes"}
    assert table["annotated_thresholds"] == pytest.approx(np.arange(1, 101) / 100)
    at = table["annotated_thresholds"].index(0.5)
    assert table["annotated_recalls"][at] == pytest.approx(3 / 4)
    assert table["annotated_precisions_seconds"][at] == pytest.approx(3 / 4)
    assert table["annotated_precisions_minutes"][at] == 1  # A is in the minute of r and of s, C in that of r
    assert table["trained_precisions"][at] == pytest.approx(3 / 5)
    assert len(table["annotated_precisions_fine"]) == len(table["annotated_thresholds_fine"]) + 1
    assert table["annotated_recalls_fine"][0] == 1 and table["annotated_recalls_fine"][-1] == 0


def test_run_of_segments_writes_exactly_the_documented_files(segments, tmp_path):
    segments.run()
    assert written(segments) == PARTS | CURVES
    details = read(tmp_path / "output/recording_details_trained.csv")
    columns = ["recording", "segment", "TP count", "FP count", "FN count", "TP class", "FP class", "FN class"]
    assert list(details[0]) == columns
    assert [list(row.values()) for row in details] == [
        ["r", "0", "1", "1", "0", "A", "B", ""],
        ["r", "1", "0", "0", "1", "", "", "A"],
        ["r", "2", "1", "1", "0", "C", "A", ""],
        ["s", "0", "0", "0", "0", "", "", ""],
        ["s", "1", "1", "0", "0", "A", "", ""],
    ]
    summary = read(tmp_path / "output/recording_summary_trained.csv")
    assert [list(row.values()) for row in summary] == [["r", "2", "2", "1"], ["s", "1", "0", "0"]]
    classes = read(tmp_path / "output/class_annotated.csv")
    assert [row["class"] for row in classes] == ["A", "C"] and classes[0]["TP segments"] == "2"
    others = read(tmp_path / "output/class_non_annotated.csv")
    assert [list(row.values()) for row in others] == [["B", "1", "1", "0"]]
    counts = [int(row["count"]) for row in read(tmp_path / "output/prediction_range_counts.csv")]
    assert counts == [0, 0, 1, 1, 1, 0, 2, 1, 1, 1]
    assert "Recall = 75.00%" in (tmp_path / "output/summary_report.txt").read_text()
    for name in (name for name in PARTS | CURVES if name.endswith(".png")):
        assert image.imread(tmp_path / "output" / name)[..., :3].std() > 0.01


def test_a_short_sound_across_a_boundary_is_not_lost_from_the_truth(tmp_path):
    tester = by_segment(tmp_path, {"r": [(0, "A", 0.9), (3, "A", 0.1)]}, {"r": 6}, ["r,A,2.85,3.05", "r,A,5.9,5.95"])
    assert tester.y_true_trained.tolist() == [[1], [1]]
    assert tester.get_segments(2.85, 3.05) == []


def test_segments_of_other_programs_hold_all_but_a_second_of_sound(tmp_path):
    rows = [f"{name},A,0,2" for name in "rst"]
    labels = {name: [(0, "A", 0.5), (3, "A", 0.5)] for name in "rst"} | {"t": [(0, "A", 0.5), (9, "A", 0.5)]}
    tester = by_segment(tmp_path, labels, {"r": 10.9, "s": 11.1, "t": 10.9}, rows)
    assert tester.segments_per_recording == {"r": [0, 1, 2], "s": [0, 1, 2, 3], "t": [0, 1, 2, 3]}


def test_a_recording_without_labels_counts_as_one_in_which_nothing_was_found(tmp_path):
    rows, seconds = ["r,A,0,3", "s,A,0,3", "empty,,,"], {"r": 6, "s": 6, "empty": 3}
    tester = by_segment(tmp_path, {"r": [(0, "A", 0.9)], "empty": []}, seconds, rows)
    tester.run()
    assert tester.units.recordings == ["empty", "r", "s"] and tester.y_pred_trained.sum() == pytest.approx(0.9)
    assert [problem.subject for problem in tester.problems] == ["empty", "s"]
    assert "has no labels" in (tmp_path / "output/summary_report.txt").read_text()


def test_annotated_recordings_that_are_not_there_and_unknown_classes_are_reported(tmp_path):
    rows = [*SOUNDS, "gone,A,0,3", "r,Z,0,3", "s,A,90,91"]
    tester = by_segment(tmp_path, LABELS, SECONDS, rows)
    tester.run()
    assert tester.units.recordings == ["r", "s"] and tester.annotated_classes == ["A", "C"]
    said = "\n".join(map(str, tester.problems))
    assert "gone: is annotated" in said and "does not know: Z" in said and "outside of its segments: 1" in said
    assert tester.units.others.tolist() == [True, False]


def test_a_class_in_every_segment_has_no_area_and_breaks_nothing(tmp_path):
    tester = by_segment(tmp_path, LABELS, SECONDS, ["r,A,0,9", "s,A,0,6", "r,C,0,3"])
    tester.run()
    assert np.isnan(tester.map_dict["class_pr_auc"]["A"]) and np.isfinite(tester.map_dict["macro_pr_auc"])
    assert read(tmp_path / "output/class_annotated.csv")[0]["PR-AUC"] == ""


@pytest.mark.parametrize("rows", [["r,,,"], ["r,A,0,9"]])
def test_a_test_of_nothing_or_of_everything_writes_its_reports(tmp_path, rows):
    tester = by_segment(tmp_path, {"r": [(0, "A", 0.9)]}, {"r": 9}, rows)
    tester.run()
    assert written(tester) == PARTS | CURVES
    assert "undefined" in (tmp_path / "output/summary_report.txt").read_text()


def test_a_folder_of_our_own_infer_stage_needs_no_recordings(tmp_path):
    tester = by_segment(tmp_path, {"r": []}, {"r": 9}, ["r,A-code,0,3", "s,B,3,6"])
    labels = tmp_path / "labels"
    write_manifest(labels, ["A", "B", "C"], overlap=1.5)
    (labels / "scores.csv").write_text("recording,name,start_time,end_time,score\nr,A,1.500,4.500,0.9\n")
    (labels / "recordings.csv").write_text("recording,seconds,status,reason\nr,10.0,ok,\ns,,failed,is empty\n")
    tester.recording_dir = ""
    assert tester.units.recordings == ["r"] and tester.trained_classes == ["A", "B", "C"]
    assert tester.y_true_trained[:, 0].tolist() == [1, 1, 0, 0, 0, 0]
    assert "is empty" in str(tester.problems[-1])


def test_labels_off_the_grid_and_missing_recordings_are_one_clear_error(tmp_path):
    off = by_segment(tmp_path / "off", {"r": [(0, "A", 1), (3, "A", 1), (6.7, "A", 1)]}, {"r": 12}, ["r,A,0,3"])
    with pytest.raises(DataSetError, match=r"6.7 s does not start at a multiple of 3 s"):
        off.initialize()
    gone = by_segment(tmp_path / "gone", LABELS, {"x": 3}, SOUNDS)
    with pytest.raises(DataSetError, match="none of its recordings"):
        gone.run()
    gone.recording_dir = str(tmp_path / "nowhere")
    gone.get_annotations()
    with pytest.raises(DataSetError, match="nowhere"):
        gone.run()


def calibratable(folder, **options):
    rng = np.random.default_rng(1)
    scores = rng.random(300).round(3)
    labels = {"r": [(3 * i, "A", score) for i, score in enumerate(scores)]}
    rows = [f"r,A,{3 * i},{3 * i + 3}" for i, score in enumerate(scores) if rng.random() < score**2]
    return by_segment(folder, labels, {"r": 900}, rows, **options)


def test_calibration_fits_the_scores_above_the_cutoff_and_plots_them(tmp_path, capsys):
    tester = calibratable(tmp_path, calibrate=True, cutoff=0.4)
    tester.run()
    coefficient, intercept = tester.do_calibration()
    assert f"Coefficient = {coefficient:.2f}" in capsys.readouterr().out
    assert written(tester) == {f"calibration-{coefficient:.2f}-{intercept:.2f}.png"}
    from sklearn.linear_model import LogisticRegression

    scores, truth = tester.y_pred_trained.ravel().astype(float), tester.y_true_trained.ravel()
    kept = scores >= 0.4
    logits = np.log(np.clip(scores, 1e-7, 1 - 1e-7) / (1 - np.clip(scores, 1e-7, 1 - 1e-7)))
    theirs = LogisticRegression(C=np.inf).fit(logits[kept, None], truth[kept])
    assert coefficient == pytest.approx(theirs.coef_[0, 0], abs=0.1)  # ours has Platt's targets
    assert intercept == pytest.approx(theirs.intercept_[0], abs=0.1)


def test_calibration_shows_the_values_that_are_given(tmp_path):
    tester = calibratable(tmp_path, calibrate=True, cutoff=0.4, coef=1.5, inter=-0.25)
    tester.run()
    assert written(tester) == {"calibration-1.50--0.25.png"}
    alone = PerSegmentTester("a", "b", "c", "d", 0.5, coef=1.5)
    assert (alone.coefficient, alone.intercept) == (1.5, 0.0)


def test_calibration_with_too_few_scores_is_a_value_error(segments):
    segments.initialize()
    with pytest.raises(ValueError):
        segments.do_calibration()


def test_plot_of_a_calibration_is_named_after_its_values(tmp_path):
    tester = PerSegmentTester("", "", "", str(tmp_path), 0.5)
    tester.plot_calibration_curve(np.array([0, 1, 1, 0]), np.array([0.1, 0.9, 0.6, 0.4]), 1.234, 0.5, n_bins=5)
    assert written(tester) == {"calibration-1.23-0.50.png"}


def test_annotations_that_have_changed_are_read_anew(segments, tmp_path):
    before = segments.get_precision_recall(0.5)["recall_trained"]
    with (tmp_path / "annotations.csv").open("a") as file:
        file.write("r,B,0,3\n")
    segments.get_annotations()
    assert segments.annotated_classes == ["A", "B", "C"] and segments.annotated_class_set == {"A", "B", "C"}
    assert (before, segments.get_precision_recall(0.5)["recall_trained"]) == pytest.approx((3 / 4, 4 / 5))


def test_statistics_are_those_of_matrices_that_are_set():
    tester = PerSegmentTester("", "", "", "", 0.5)
    tester.trained_classes, tester.annotated_classes = ["A", "B"], ["B"]
    tester.y_true_trained = np.array([[1, 0], [0, 1], [0, 0]], np.float32)
    tester.y_pred_trained = np.array([[0.9, 0.8], [0.1, 0.7], [0.2, 0.3]], np.float32)
    assert tester.get_pr_auc_stats()["macro_pr_auc"] == pytest.approx(1 / 2)
    assert tester.get_roc_auc_stats()["macro_roc_auc"] == pytest.approx(1 / 2)
    tester.y_true_trained = np.zeros((3, 2))
    with pytest.raises(ValueError):
        tester.do_calibration()


def test_labels_that_annotations_give_a_meaning_are_read_anew_with_them(segments, tmp_path):
    segments.initialize()
    assert segments.problems == []
    (tmp_path / "classes.csv").write_text("name,code\nA,Ahorn\n")
    (tmp_path / "annotations.csv").write_text("recording,class,start_time,end_time\nr,Ahorn,0,3\n")
    segments.get_annotations()
    assert segments.annotations == {"r": [Annotation(0, 3, "A")]} and segments.problems == []
    assert segments.y_true_trained.sum() == 1


def test_problems_are_those_of_what_was_read_last_in_whatever_order_they_are_asked_for(tmp_path):
    tester = by_segment(tmp_path, LABELS, SECONDS, [*SOUNDS, "gone,A,0,3", "s,A,90,91"])
    first = tester.problems
    assert [problem.subject for problem in first] == ["gone", "gone", "s"]
    tester.run()
    assert tester.problems == first
    tester.get_annotations()
    assert tester.problems == first


def test_a_threshold_that_changes_counts_at_once(segments):
    before = segments.details_dict["recall_trained"]
    segments.threshold = 0.3
    assert (before, segments.details_dict["recall_trained"]) == pytest.approx((3 / 4, 1))


def test_durations_that_have_changed_are_read_anew(segments, tmp_path):
    assert segments.recording_duration == {"r": 9, "s": 6} and len(segments.units.recording) == 5
    write_recordings(tmp_path / "recordings", {"s": 12})
    assert segments.get_recording_info() == {"r": 9, "s": 12}
    assert len(segments.units.recording) == 7


def test_the_report_by_threshold_has_precision_and_recall_of_segments(segments, tmp_path):
    segments.run()
    row = pd.read_csv(tmp_path / "output/pr_per_threshold_annotated.csv").set_index("threshold").loc[0.5]
    assert row.to_dict() == pytest.approx({"precision": 3 / 4, "recall": 3 / 4})


# PerBlockTester


def test_block_tester_takes_the_documented_arguments():
    parameters = inspect.signature(PerBlockTester).parameters
    assert list(parameters)[5:7] == ["block_size", "gen_pr_table"]
    assert parameters["block_size"].default == 60 and parameters["gen_pr_table"].default is False
    with pytest.raises(ValueError, match="block_size"):
        PerBlockTester("a", "b", "c", "d", 0.5, block_size=0)


def test_annotations_of_blocks(blocks):
    blocks.get_annotations()
    assert blocks.annotations == {"r": {1: ["A"], 3: ["A", "C"]}, "s": {1: []}}
    assert blocks.annotated_class_set == {"A", "C"} and blocks.annotated_classes == ["A", "C"]
    assert blocks.segments_per_recording == {"r": [0, 2], "s": [0]}


def test_a_block_scores_as_its_highest_segment_and_other_blocks_do_not_count(blocks):
    assert blocks.y_true_trained.tolist() == [[1, 0, 0], [1, 0, 1], [0, 0, 0]]
    np.testing.assert_allclose(blocks.y_pred_trained, [[0.9, 0, 0.6], [0.2, 0.7, 0], [0.55, 0, 0]], rtol=1e-6)
    assert blocks.units.start_time.tolist() == [0, 120, 0]


def test_areas_and_seconds_of_blocks_are_those_computed_by_hand(blocks):
    # A: 0.9 right, 0.55 wrong, 0.2 right; C: 0.6 wrong, then two without a score, one of them right.
    assert blocks.get_pr_auc_stats()["class_pr_auc"] == pytest.approx({"A": (1 + 2 / 3) / 2, "C": 1 / 3})
    assert blocks.get_roc_auc_stats()["class_roc_auc"] == pytest.approx({"A": 1 / 2, "C": 1 / 4})
    stats = blocks.get_precision_recall(0.2, details=True)
    assert stats["class_valid"].tolist() == pytest.approx([9, 0])
    assert stats["class_invalid"].tolist() == pytest.approx([3, 3])
    assert stats["precision_secs"] == pytest.approx(9 / 15)


def test_seconds_of_a_block_end_with_it_and_overlaps_count_once(tmp_path):
    labels = {"r": [(10.5, "A", 0.9), (12, "A", 0.9), (18, "A", 0.9), (1.5, "A", 0.1)]}
    tester = by_block(tmp_path, labels, ["r,1,A"], block_size=20)
    assert tester.overlap == 1.5
    assert tester.get_precision_recall(0.5)["tp_secs"] == pytest.approx(1.5 + 3 + 2)


def test_table_of_blocks_has_the_documented_keys(blocks):
    table = blocks.get_pr_table()
    assert set(table) == TABLE | {"annotated_precisions_blocks"}
    assert len(table["annotated_precisions_blocks"]) == 100
    assert table["annotated_precisions_blocks"][49] == pytest.approx(1 / 3)
    assert table["trained_precisions"][49] == pytest.approx(1 / 4)


@pytest.mark.parametrize("wanted", [False, True])
def test_run_of_blocks_writes_exactly_the_documented_files(tmp_path, wanted):
    tester = by_block(tmp_path, BLOCK_LABELS, BLOCKS, gen_pr_table=wanted)
    tester.run()
    assert written(tester) == (PARTS | CURVES if wanted else PARTS)
    details = read(tmp_path / "output/recording_details_trained.csv")
    assert [list(row.values()) for row in details] == [
        ["r", "1", "1", "1", "0", "A", "C", ""],
        ["r", "3", "0", "1", "2", "", "B", "A; C"],
        ["s", "1", "0", "1", "0", "", "A", ""],
    ]
    summary = read(tmp_path / "output/recording_summary_trained.csv")
    assert [list(row.values()) for row in summary] == [["r", "1", "2", "2"], ["s", "0", "1", "0"]]
    assert read(tmp_path / "output/class_annotated.csv")[0]["TP seconds"] == "3.000"


def test_blocks_without_any_recording_that_was_analyzed_are_one_clear_error(tmp_path):
    tester = by_block(tmp_path, {"x": [(0, "A", 0.5)]}, ["r,1,A"])
    (tmp_path / "labels/recordings.csv").write_text("recording,seconds,status,reason\nr,,failed,is empty\n")
    with pytest.raises(DataSetError, match="none of its recordings"):
        tester.run()


# PerRecordingTester


def test_recording_tester_takes_the_documented_arguments():
    parameters = inspect.signature(PerRecordingTester).parameters
    assert parameters["tp_secs_at_precision"].default == 0.95


def test_annotations_of_recordings(recordings):
    recordings.get_annotations()
    assert recordings.annotations == {"r": ["A", "C"], "s": ["A"], "t": []}
    assert recordings.annotated_class_set == {"A", "C"} and recordings.annotated_classes == ["A", "C"]


def test_a_recording_scores_as_its_highest_segment(recordings):
    assert recordings.y_true_trained.tolist() == [[1, 0, 1], [1, 0, 0], [0, 0, 0]]
    np.testing.assert_allclose(recordings.y_pred_trained, [[0.9, 0.8, 0.2], [0.4, 0, 0.6], [0.3, 0.1, 0]], rtol=1e-6)
    assert recordings.get_pr_auc_stats()["class_pr_auc"] == pytest.approx({"A": 1, "C": 1 / 2})


def test_table_of_recordings_has_the_documented_keys_and_no_rows_without_precision(recordings):
    table = recordings.get_pr_table()
    assert set(table) == {"precisions", "recalls", "precision_secs", "tp_secs", "fp_secs", "thresholds"}
    assert table["thresholds"] == pytest.approx(np.arange(1, 91) / 100)  # 0.9 is found last
    at = table["thresholds"].index(0.5)
    assert table["precisions"][at] == pytest.approx(1 / 2) and table["recalls"][at] == pytest.approx(1 / 3)
    assert (table["tp_secs"][at], table["fp_secs"][at]) == (6, 3) and table["precision_secs"][at] == pytest.approx(
        2 / 3
    )


def test_rows_without_precision_are_kept_where_better_ones_follow(tmp_path):
    tester = by_recording(tmp_path, {"r": [(0, "A", 0.2)], "s": [(0, "A", 0.2), (3, "B", 0.9)]}, ["r,A", "s,A"])
    assert len(tester.get_pr_table()["thresholds"]) == 20
    nothing = by_recording(tmp_path / "no", {"r": [(0, "A", 0.2)], "s": [(0, "B", 0.5)]}, ["r,B", "s,A"])
    assert nothing.get_pr_table()["thresholds"] == []
    nothing.run()


def test_run_of_recordings_writes_exactly_the_documented_files(recordings, tmp_path):
    recordings.run()
    assert written(recordings) == RECORDINGS
    folder = str(tmp_path / "recordings")
    details = read(tmp_path / "output/recording_details.csv")
    assert [list(row.values()) for row in details] == [
        [folder, "r", "2", "1", "1", "A", "B", "C"],
        [folder, "s", "0", "1", "1", "", "C", "A"],
        [folder, "t", "0", "0", "0", "", "", ""],
    ]
    assert list(details[0]) == [
        *("directory", "recording", "TP count", "FP count", "FN count", "TP classes", "FP classes", "FN classes")
    ]
    assert list(read(tmp_path / "output/recording_summary.csv")[0])[-1] == "FN count"
    classes = pd.read_csv(tmp_path / "output/class.csv").set_index("class")
    assert classes.at["A", "TP seconds"] == 6 and classes.at["C", "FP seconds"] == 3
    assert classes.at["A", "annotated recordings"] == 2
    summary = (tmp_path / "output/summary_report.txt").read_text()
    assert "TP seconds at precision 0.95 (by seconds) = 3.0" in summary  # above 0.6; up to there, C counts against it


def test_seconds_of_a_precision_that_is_not_reached_are_said_so(tmp_path):
    tester = by_recording(tmp_path, {"r": [(0, "A", 0.5)], "s": [(0, "A", 0.5)]}, ["r,A", "s,"])
    tester.run()
    assert "no threshold has that precision" in (tmp_path / "output/summary_report.txt").read_text()


def test_labels_of_recordings_that_are_not_annotated_do_not_count(tmp_path):
    tester = by_recording(tmp_path, RECORDING_LABELS, ["r,A"])
    write_labels(tmp_path / "labels", {"unheard": [(0, "A", 1.0)]})
    assert tester.units.recordings == ["r"] and tester.y_pred_trained.shape == (1, 3)
