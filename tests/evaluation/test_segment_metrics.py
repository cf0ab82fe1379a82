from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from lib.evaluation import intervals, ranked_pairs
from lib.evaluation.segment_metrics import measure
from lib.evaluation.segment_tallies import BACKGROUND, NONE
from lib.evaluation.units import Units, segment_units
from tests.evaluation.example import make_data_set, write_results
from tests.memory import peak_memory

PER_UNIT = ("recording", "start_time", "end_time", "truth", "scores")


def make_units(truth, scores, recording, others=None):
    truth, recording = np.array(truth, dtype=bool), np.array(recording)
    n_recordings = recording.max() + 1
    start = np.arange(len(truth)) * 1.5
    return Units(
        classes=[f"c{index}" for index in range(truth.shape[1])],
        recordings=[f"r{index}" for index in range(n_recordings)],
        recording=recording,
        start_time=start,
        end_time=start + 3,
        truth=truth,
        scores=np.array(scores, dtype=np.float32),
        others=np.zeros(n_recordings, bool) if others is None else np.array(others),
    )


def random_units(n_recordings, n_segments, n_classes, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.random((n_recordings * n_segments, n_classes)) < 0.15
    scores = np.round(np.clip(0.3 * truth + 0.7 * rng.random(truth.shape), 0, 1), 3)
    return make_units(truth, scores, np.repeat(np.arange(n_recordings), n_segments))


def test_averages_equal_scikit_learn():
    units = random_units(6, 20, 4)
    figures = measure(units, resamples=0).figures
    for average in ("macro", "micro"):
        expected = average_precision_score(units.truth, units.scores, average=average)
        assert figures[f"{average}_pr"] == pytest.approx(expected, abs=1e-6)
        expected = roc_auc_score(units.truth, units.scores, average=average)
        assert figures[f"{average}_roc"] == pytest.approx(expected, abs=1e-6)
    assert "macro_pr_low" not in figures


def test_macro_goes_without_classes_of_one_kind_and_micro_with_them():
    units = random_units(4, 20, 3)
    units.truth[:, 2] = False
    figures = measure(units, resamples=0).figures
    two = [average_precision_score(units.truth[:, column], units.scores[:, column]) for column in (0, 1)]
    assert figures["macro_pr"] == pytest.approx(np.mean(two), abs=1e-6)
    pooled = average_precision_score(units.truth.ravel(), units.scores.ravel())
    assert figures["micro_pr"] == pytest.approx(pooled, abs=1e-6)
    assert (figures["n_classes"], figures["n_classes_tested"]) == (3, 2)


def test_best_threshold_worked_out_by_hand():
    figures = measure(make_units([[1], [1], [0], [0]], [[0.9], [0.31], [0.3], [0.1]], [0, 0, 1, 1])).figures
    assert (figures["best_threshold"], figures["best_f1"]) == (0.31, 1)
    assert (figures["precision"], figures["recall"], figures["f1"]) == (1, 0.5, pytest.approx(2 / 3, abs=1e-6))


def test_undefined_figures_are_left_out():
    figures = measure(make_units(np.zeros((4, 2)), np.zeros((4, 2)), [0, 0, 1, 1])).figures
    assert np.isfinite(list(figures.values())).all()
    assert "macro_pr" not in figures and "recall" not in figures and "accuracy" not in figures
    assert figures["n_segments"] == 4


def test_intervals_hold_the_value_and_narrow_with_more_recordings():
    few, many = (measure(random_units(number, 20, 3)).figures for number in (8, 80))
    for figures in (few, many):
        for name in ("macro_pr", "micro_roc", "precision", "f1"):
            assert figures[f"{name}_low"] < figures[name] < figures[f"{name}_high"]
    width = [figures["micro_pr_high"] - figures["micro_pr_low"] for figures in (few, many)]
    assert width[1] < width[0] / 2


def test_intervals_equal_resampling_whole_recordings():
    units = random_units(5, 12, 2)
    samples = []
    for weights in intervals.draw(5, 50, seed=4)[1:]:
        drawn = np.concatenate(
            [np.flatnonzero(units.recording == index) for index in np.repeat(np.arange(5), weights.astype(int))]
        )
        samples.append(average_precision_score(units.truth[drawn].ravel(), units.scores[drawn].ravel()))
    figures = measure(units, resamples=50, seed=4).figures
    bounds = figures["micro_pr_low"], figures["micro_pr_high"]
    assert bounds == pytest.approx(np.percentile(samples, [2.5, 97.5]), abs=1e-6)


def test_accuracy_is_given_where_each_recording_holds_one_class():
    truth = [[1, 0], [1, 0], [0, 1], [0, 1], [0, 1]]
    scores = [[0.9, 0.1], [0.2, 0.4], [0.9, 0.2], [0.0, 0.9], [0.6, 0.5]]  # means: 0.55, 0.25; 0.5, 0.533
    assert measure(make_units(truth, scores, [0, 0, 1, 1, 1])).figures["accuracy"] == 1
    results = measure(make_units(truth, scores, [0, 0, 1, 2, 2]))
    assert results.figures["accuracy"] == pytest.approx(2 / 3, abs=1e-6)
    assert results.confusion.by == "recording"
    assert results.confusion.counts.tolist() == [[1, 0], [1, 1]]


def test_accuracy_goes_without_recordings_of_unknown_classes():
    truth, scores = [[1, 0], [0, 0], [0, 1]], [[0.9, 0], [0.9, 0], [0.9, 0]]
    assert measure(make_units(truth, scores, [0, 1, 2], others=[0, 1, 0])).figures["accuracy"] == 0.5
    assert "accuracy" not in measure(make_units(truth, scores, [0, 1, 2])).figures


def test_confusion_of_segments_worked_out_by_hand():
    truth = [[1, 1], [1, 0], [1, 0], [0, 0]]
    scores = [[0.9, 0.9], [0.9, 0.9], [0.1, 0.1], [0.1, 0.9]]
    confusion = measure(make_units(truth, scores, [0, 0, 1, 1])).confusion
    assert (confusion.rows, confusion.columns) == (["c0", "c1", BACKGROUND], ["c0", "c1", NONE])
    assert confusion.counts.tolist() == [[2, 1, 1], [0, 1, 0], [0, 1, 0]]
    assert confusion.totals.tolist() == [3, 1, 1]


def test_errors_are_the_highest_false_positives_and_the_lowest_false_negatives():
    truth, scores = [[0], [0], [0], [1], [1], [1]], [[0.6], [0.9], [0.2], [0.4], [0.1], [0.8]]
    errors = measure(make_units(truth, scores, [0, 0, 0, 1, 1, 1])).errors
    assert errors["kind"].tolist() == ["false positive"] * 2 + ["false negative"] * 2
    assert errors["start_time"].tolist() == [1.5, 0, 6, 4.5]
    assert errors["recording"].tolist() == ["r0", "r0", "r1", "r1"]


def test_errors_name_all_classes_that_are_annotated_there_also_those_that_the_model_does_not_know(tmp_path):
    annotations = [("r", "a", 0, 1), ("r", "stranger", 2.8, 4.4), ("r", "guest", 3.2, 4.4)]
    scores = [("r", "b", start, 0.9 - start / 10) for start in (0, 1.5, 3, 4.5)]
    with write_results(tmp_path, {"r": 7.5}, scores) as store:
        units, _ = segment_units(make_data_set(annotations, ["r"]), store)
        errors = measure(units, resamples=0).errors
    assert errors["present"].tolist() == ["a", "guest; stranger", "guest; stranger", "a"]


def test_recordings_add_up_to_the_whole():
    units = random_units(5, 30, 3)
    results = measure(units, threshold=0.4)
    found = units.scores >= np.float32(0.4)
    assert results.recordings["tp"].sum() == (found & units.truth).sum()
    assert results.recordings["fp"].sum() == (found & ~units.truth).sum()
    assert results.recordings["fn"].sum() == (~found & units.truth).sum()


@dataclass
class Blocks:
    """Units that come in blocks, which need not end where a recording does."""

    units: Units
    size: int

    def __post_init__(self):
        self.classes, self.recordings, self.others = self.units.classes, self.units.recordings, self.units.others

    def blocks(self):
        for begin in range(0, len(self.units.truth), self.size):
            rows = {name: getattr(self.units, name)[begin : begin + self.size] for name in PER_UNIT}
            yield replace(self.units, **rows)


@pytest.mark.parametrize("is_single", [False, True])
def test_blocks_of_units_measure_what_all_of_them_do(is_single):
    units = random_units(7, 30, 3)
    if is_single:
        units.truth[:] = (units.recording % 3)[:, None] == np.arange(3)
    whole, parts = measure(units, resamples=20), measure(Blocks(units, 13), resamples=20)
    assert parts.figures == whole.figures and ("accuracy" in whole.figures) == is_single
    for name in ("classes", "thresholds", "recordings", "errors"):
        pd.testing.assert_frame_equal(getattr(parts, name), getattr(whole, name), check_exact=False, check_dtype=False)
    np.testing.assert_array_equal(parts.confusion.counts, whole.confusion.counts)
    np.testing.assert_array_equal(parts.scores, whole.scores)
    assert parts.example == whole.example


def test_memory_does_not_grow_with_the_number_of_units(monkeypatch, tmp_path):
    monkeypatch.setattr(ranked_pairs, "ENTRIES_AT_ONCE", 20_000)
    monkeypatch.setattr(ranked_pairs, "CELLS", 100_000)

    @dataclass
    class Years:
        """Blocks of 1,000 units, made when they are asked for."""

        n_blocks: int
        recordings = ("r0", "r1", "r2", "r3")
        classes = ("c0", "c1", "c2")
        others = np.zeros(4, bool)

        def blocks(self):
            for index in range(self.n_blocks):
                recording = np.full(1000, index * 4 // self.n_blocks)
                recording[0], recording[-1] = recording.min(), recording.max()
                yield replace(random_units(4, 250, 3, seed=index), recording=recording)

    def peak(n_blocks):
        return peak_memory(lambda: measure(Years(n_blocks), resamples=10, scratch=tmp_path))

    measure(Years(1), resamples=10)  # what is imported and cached once
    assert peak(160) < 1.2 * peak(40)


def test_curves_are_short_and_end_where_all_is_found():
    curve = measure(random_units(20, 100, 3), resamples=0).micro
    assert 400 < len(curve.recall) <= 500
    assert (curve.recall[0], curve.precision[0], curve.fpr[0]) == (0, 1, 0)
    assert curve.recall[-1] == curve.fpr[-1] == 1
    assert (np.diff(curve.recall) >= 0).all() and (np.diff(curve.threshold) <= 0).all()
