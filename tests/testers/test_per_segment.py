"""The tester by segments, method by method as the reference documents it, on a case computed by hand."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib import image

from lib import PerSegmentTester
from lib.core.errors import DataSetError
from lib.evaluation.units import segment_units
from lib.models.platt_scaling import fit_platt
from lib.results.results_store import PartialResult, ResultsStore
from lib.sound.grid import n_windows
from lib.testers.truths import Annotation
from tests.evaluation.example import make_data_set, write_results
from tests.evaluation.folders import CURVE_FILES, PART_FILES, TABLE_KEYS, by_segment, read_rows, written
from tests.results.builders import make_manifest

# Two recordings, 9 and 6 s, in segments of 3 s. A is annotated in r-0, r-1 and s-1, C in r-2; B nowhere.
SECONDS = {"r": 9, "s": 6}
SOUNDS = ["r,A,0.5,4", "r,C,6.5,7", "s,A,3.0,6.0"]
LABELS = {
    "r": [(0, "A", 0.9), (0, "B", 0.6), (3, "A", 0.4), (6, "A", 0.7), (6, "C", 0.8)],
    "s": [(0, "C", 0.3), (3, "A", 0.6), (3, "B", 0.2)],
}


@pytest.fixture
def tester(tmp_path) -> PerSegmentTester:
    return by_segment(tmp_path, LABELS, SECONDS, SOUNDS)


@pytest.mark.parametrize(
    ("start", "end", "overlap", "min_seconds", "expected"),
    [
        (0, 3, 1.5, 0.3, [0, 1.5]),
        (2.0, 6.2, 1.5, 0.3, [0, 1.5, 3.0, 4.5]),
        (2.0, 6.2, 1.5, 1.6, [1.5, 3.0, 4.5]),
        (2.0, 6.2, 0, 1, [0, 3]),
        (2.8, 3.4, 0, 0.3, [3]),
        (2.7, 3.4, 0, 0.3, [0, 3]),
        (5.45, 6.3, 0, 0.3, [3, 6]),
        (0, 0.2, 1.5, 0.3, [0]),  # shorter than min_seconds
        (2.9, 3.15, 0, 0.3, [3]),  # across a border
    ],
)
def test_offsets_are_those_of_the_windows_in_which_a_sound_is_present(start, end, overlap, min_seconds, expected):
    assert PerSegmentTester.get_offsets(start, end, 3, overlap, min_seconds) == pytest.approx(expected)


def test_segments_are_offsets_as_indexes(tmp_path):
    tester = by_segment(tmp_path, {"r": [(0, "A", 0.5), (1.5, "A", 0.5)]}, {"r": 9}, ["r,A,0,3"])
    assert (tester.segment_len, tester.overlap) == (3, 1.5)
    assert tester.get_segments(2.0, 6.2) == [0, 1, 2, 3] and tester.get_segments(3.1, 3.2) == [1, 2]
    with pytest.raises(ValueError, match="overlap"):
        PerSegmentTester.get_offsets(0, 1, 3, 3)


def test_annotations_durations_and_classes(tester):
    tester.get_annotations()
    sounds = {"r": [Annotation(0.5, 4, "A"), Annotation(6.5, 7, "C")], "s": [Annotation(3, 6, "A")]}
    assert tester.annotations == sounds
    assert tester.annotated_class_set == {"A", "C"} and tester.annotated_classes == ["A", "C"]
    assert tester.trained_classes == ["A", "B", "C"]
    assert tester.recording_duration == {"r": 9, "s": 6}


def test_truth_and_scores_have_a_row_for_each_segment(tester):
    tester.initialize()
    tester.init_y_true()
    truth = tester.y_true_trained_df
    assert truth[""].tolist() == ["r-0", "r-1", "r-2", "s-0", "s-1"]
    assert truth[["A", "B", "C"]].to_numpy().tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0]]
    assert list(tester.y_true_annotated_df.columns) == ["", "A", "C"]
    assert tester.segments_per_recording == {"r": [0, 1, 2], "s": [0, 1]}
    assert np.array_equal(tester.y_true_trained, truth[["A", "B", "C"]])
    expected = [[0.9, 0.6, 0], [0.4, 0, 0], [0.7, 0, 0.8], [0, 0, 0.3], [0.6, 0.2, 0]]
    np.testing.assert_allclose(tester.y_pred_trained, expected, rtol=1e-6)
    np.testing.assert_allclose(tester.y_pred_annotated, np.array(expected)[:, [0, 2]], rtol=1e-6)


def test_areas_are_those_computed_by_hand(tester):
    stats = tester.get_pr_auc_stats()
    # A by falling score: 0.9 right, 0.7 wrong, 0.6 right, 0.4 right; C: 0.8 right.
    of_a = (1 + 2 / 3 + 3 / 4) / 3
    assert stats["class_pr_auc"] == pytest.approx({"A": of_a, "C": 1})
    assert stats["macro_pr_auc"] == pytest.approx((of_a + 1) / 2)
    # All: 0.9 right, 0.8 right, 0.7 wrong, 0.6 A right and B wrong, 0.4 right.
    micro = (1 + 1 + 3 / 5 + 4 / 6) / 4
    assert stats["micro_pr_auc_trained"] == pytest.approx(micro)
    assert stats["combined_pr_auc_trained"] == pytest.approx((stats["macro_pr_auc"] + micro) / 2)
    stats = tester.get_roc_auc_stats()
    assert stats["class_roc_auc"] == pytest.approx({"A": 4 / 6, "C": 1})  # two of A's 3 positives lie below 0.7
    assert stats["macro_roc_auc"] == pytest.approx(5 / 6)
    assert set(stats) >= {"micro_roc_auc_trained", "combined_roc_auc_trained", "combined_roc_auc_annotated"}
    assert set(stats) >= {f"roc_{what}_annotated" for what in ("fpr", "tpr", "thresholds")}


def test_precision_and_recall_at_a_threshold(tester):
    stats = tester.get_precision_recall(0.5, details=True)
    # A: 0.9 right, 0.7 wrong, 0.6 right, 0.4 missed; C: 0.8 right; B: 0.6 wrong.
    assert stats["precision_annotated"] == pytest.approx(3 / 4) and stats["recall_annotated"] == pytest.approx(3 / 4)
    assert stats["precision_trained"] == pytest.approx(3 / 5) and stats["recall_trained"] == pytest.approx(3 / 4)
    assert (stats["tp_secs"], stats["fp_secs"], stats["precision_secs"]) == pytest.approx((9, 3, 0.75))
    assert stats["class_precision"].tolist() == pytest.approx([2 / 3, 1])
    assert stats["class_recall"].tolist() == pytest.approx([2 / 3, 1])


def test_the_table_over_thresholds_has_the_documented_keys(tester):
    table = tester.get_pr_table()
    assert set(table) == TABLE_KEYS | {"annotated_precisions_minutes"}
    assert table["annotated_thresholds"] == pytest.approx(np.arange(1, 101) / 100)
    at = table["annotated_thresholds"].index(0.5)
    assert table["annotated_recalls"][at] == pytest.approx(3 / 4)
    assert table["annotated_precisions_seconds"][at] == pytest.approx(3 / 4)
    assert table["annotated_precisions_minutes"][at] == 1  # A is in the minute of r and of s, C in that of r
    assert table["trained_precisions"][at] == pytest.approx(3 / 5)
    assert len(table["annotated_precisions_fine"]) == len(table["annotated_thresholds_fine"]) + 1
    assert table["annotated_recalls_fine"][0] == 1 and table["annotated_recalls_fine"][-1] == 0


def test_a_run_writes_exactly_the_documented_files_and_returns_the_figures(tester, tmp_path):
    figures = tester.run()
    at_threshold = ["precision_annotated", "recall_annotated", "precision_trained", "recall_trained"]
    assert [figures[name] for name in at_threshold] == pytest.approx([3 / 4, 3 / 4, 3 / 5, 3 / 4])
    known = tester.map_dict | tester.roc_dict | tester.details_dict
    assert figures == {name: value for name, value in known.items() if isinstance(value, float)}
    assert written(tester) == PART_FILES | CURVE_FILES
    assert read_rows(tester, "recording_details_trained.csv") == [
        ["recording", "segment", "TP count", "FP count", "FN count", "TP class", "FP class", "FN class"],
        ["r", "0", "1", "1", "0", "A", "B", ""],
        ["r", "1", "0", "0", "1", "", "", "A"],
        ["r", "2", "1", "1", "0", "C", "A", ""],
        ["s", "0", "0", "0", "0", "", "", ""],
        ["s", "1", "1", "0", "0", "A", "", ""],
    ]
    assert read_rows(tester, "recording_summary_trained.csv")[1:] == [["r", "2", "2", "1"], ["s", "1", "0", "0"]]
    header, *rows = read_rows(tester, "class_annotated.csv")
    assert [row[0] for row in rows] == ["A", "C"] and rows[0][header.index("TP segments")] == "2"
    assert read_rows(tester, "class_non_annotated.csv")[1:] == [["B", "1", "1", "0"]]
    assert [row[2] for row in read_rows(tester, "prediction_range_counts.csv")[1:]] == list("0011102111")
    assert ["0.500", "0.750", "0.750"] in read_rows(tester, "pr_per_threshold_annotated.csv")
    assert "Recall = 75.00%" in (tmp_path / "output/summary_report.txt").read_text()
    for name in (name for name in PART_FILES | CURVE_FILES if name.endswith(".png")):
        assert image.imread(tmp_path / "output" / name)[..., :3].std() > 0.01


def test_a_short_sound_across_a_border_is_not_lost_from_the_truth(tmp_path):
    tester = by_segment(tmp_path, {"r": [(0, "A", 0.9), (3, "A", 0.1)]}, {"r": 6}, ["r,A,2.85,3.05", "r,A,5.9,5.95"])
    assert tester.y_true_trained.tolist() == [[1], [1]]


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
    assert tester.units.recordings == ["r", "s"] and tester.annotated_classes == ["A", "C"]
    said = "\n".join(map(str, tester.problems))
    assert "gone: is annotated" in said and "does not know: Z" in said and "outside of its segments: 1" in said
    assert tester.units.others.tolist() == [True, False]


@pytest.mark.parametrize("rows", [["r,,,"], ["r,A,0,9"], ["r,A,0,9", "r,B,0,3"]])
def test_a_test_of_nothing_or_of_everything_writes_its_reports(tmp_path, rows):
    tester = by_segment(tmp_path, {"r": [(0, "A", 0.9), (3, "B", 0.5)]}, {"r": 9}, rows)
    tester.run()
    assert written(tester) == PART_FILES | CURVE_FILES
    classes = read_rows(tester, "class_annotated.csv")[1:]
    assert [row[1] == "" for row in classes] == [True, False][: len(classes)]  # A has no area
    has_areas = len(classes) == 2
    assert np.isfinite(tester.map_dict["macro_pr_auc"]) == has_areas
    assert ("undefined" in (tmp_path / "output/summary_report.txt").read_text()) != has_areas


def test_results_of_infer_need_no_recordings(tmp_path):
    tester = by_segment(tmp_path, {}, {}, ["r,A,0,3", "s,b,3,6"])
    tester.recording_dir = ""
    with write_results(tmp_path / "labels", {"r": 10}, [("r", "a", 1.5, 0.9)], failed={"s": "is empty"}):
        pass
    assert tester.units.recordings == ["r"] and tester.trained_classes == ["a", "b"]
    assert tester.y_true_trained[:, 0].tolist() == [1, 1, 0, 0, 0, 0]
    assert tester.y_pred_trained[:, 0].tolist() == pytest.approx([0, 0.9, 0, 0, 0, 0])
    assert "is empty" in str(tester.problems[-1])


def test_recordings_that_infer_did_not_analyze_are_left_out(tmp_path):
    tester = by_segment(tmp_path, {}, {"r": 6, "new": 6}, ["r,A,0,3", "new,A,0,3"])
    with write_results(tmp_path / "labels", {"r": 6}, [("r", "a", 0, 0.9)]):
        pass
    assert tester.units.recordings == ["r"]
    (problem,) = tester.problems
    assert problem.subject == "new" and "was not analyzed" in problem.fault and problem.lost


@given(
    start_seconds=st.sampled_from([0.0, 0.1, 2.0, 3.0, 4.7]) | st.floats(0, 9),
    hop=st.sampled_from([0.3, 1.0, 1.5, 2.9, 3.0]),
    seconds=st.lists(st.floats(0.5, 14), min_size=1, max_size=3),
    events=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from("abx"), st.floats(0, 15), st.floats(0, 4)), max_size=6
    ),
    min_seconds=st.sampled_from([0.1, 0.3, 1.0]),
    seed=st.integers(0, 99),
)
@example(3.0, 1.5, [12.0], [(0, "a", 3.5, 8.0)], 0.3, 0)
@example(2.0, 1.5, [12.0], [(0, "a", 3.5, 8.0), (0, "x", 5.0, 1.0)], 0.3, 0)
@settings(max_examples=40, deadline=None)
def test_units_are_those_of_evaluate_wherever_infer_began(
    tmp_path_factory, start_seconds, hop, seconds, events, min_seconds, seed
):
    folder, rng = tmp_path_factory.mktemp("store"), np.random.default_rng(seed)
    events = [(f"r{index}", label, start, start + length) for index, label, start, length in events]
    rows = [f"{name},{label},{start!r},{end!r}" for name, label, start, end in events]
    names = [f"r{index}" for index in range(len(seconds))]
    tester = by_segment(folder, {}, {}, [*rows, *(f"{name},,," for name in names)], min_seconds=min_seconds)
    manifest = make_manifest(["b", "a"], overlap=3.0 - hop, start_seconds=start_seconds, infer={"csv_min_score": 0.0})
    with ResultsStore(folder / "labels", manifest) as store:
        for name, duration in zip(names, seconds, strict=True):
            scores = rng.random((n_windows(duration - start_seconds, 3.0, hop), 2)).astype(np.float32)
            store.write(name, f"{name}.wav", name, [PartialResult(scores * (scores > 0.3), [], duration)], [], [])
        store.commit()
        expected = segment_units(make_data_set(events, names), store, min_seconds)[0].whole()
    units = tester.units
    assert (units.recordings, units.classes, expected.classes) == (expected.recordings, ["a", "b"], ["b", "a"])
    for name in ("recording", "start_time", "end_time", "others"):
        np.testing.assert_array_equal(getattr(units, name), getattr(expected, name))
    assert units.unknown == expected.unknown
    np.testing.assert_array_equal(units.truth, expected.truth[:, ::-1])
    np.testing.assert_array_equal(units.scores, expected.scores[:, ::-1])


def test_reports_number_segments_from_where_infer_began(tmp_path):
    tester = by_segment(tmp_path, {}, {}, ["r,A,3,6"])
    with write_results(tmp_path / "labels", {"r": 12}, [("r", "a", 0, 0.9)], start_seconds=2.0):
        pass
    tester.run()
    assert [row[1] for row in read_rows(tester, "recording_details_trained.csv")[1:4]] == ["0", "1", "2"]
    assert tester.get_segments(3, 6) == np.flatnonzero(tester.y_true_trained[:, 0]).tolist() == [0, 1, 2]
    assert tester.get_segments(0, 2) == []


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


def calibratable(folder):
    rng = np.random.default_rng(1)
    scores = rng.random(300).round(3)
    labels = {"r": [(3 * i, "A", score) for i, score in enumerate(scores)]}
    rows = [f"r,A,{3 * i},{3 * i + 3}" for i, score in enumerate(scores) if rng.random() < score**2]
    return by_segment(folder, labels, {"r": 900}, rows, calibrate=True, cutoff=0.4)


def test_calibration_fits_the_scores_above_the_cutoff_and_plots_them(tmp_path, capsys):
    tester = calibratable(tmp_path)
    figures = tester.run()
    coefficient, intercept = tester.do_calibration()
    assert figures == {"coefficient": coefficient, "intercept": intercept}
    assert (coefficient, intercept) == fit_platt(tester.y_pred_trained.ravel(), tester.y_true_trained.ravel(), 0.4)
    assert f"Coefficient = {coefficient:.2f}" in capsys.readouterr().out
    assert written(tester) == {f"calibration-{coefficient:.2f}-{intercept:.2f}.png"}


def test_a_calibration_plot_is_named_after_its_values_or_those_that_are_given(tmp_path):
    for options, name in (
        ({}, "1.23-0.50"),
        ({"coef": 1.5}, "1.50-0.00"),
        ({"coef": 1.5, "inter": -0.25}, "1.50--0.25"),
    ):
        tester = PerSegmentTester("", "", "", str(tmp_path / name), 0.5, **options)
        tester.plot_calibration_curve(np.array([0, 1, 1, 0]), np.array([0.1, 0.9, 0.6, 0.4]), 1.234, 0.5, n_bins=5)
        assert written(tester) == {f"calibration-{name}.png"}
