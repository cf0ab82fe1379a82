import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from lib.models.calibration import apply_platt, choose_thresholds, fit_platt


def drawn(n=4000, coefficient=0.5, intercept=-1.0, seed=1):
    """Scores, and truth that is as common as their scaled values say."""
    rng = np.random.default_rng(seed)
    scores = expit(3 * rng.standard_normal(n))
    return scores, rng.random(n) < expit(coefficient * logit(scores) + intercept)


def test_scaling_is_a_line_through_the_logits():
    scores = np.array([0.2, 0.5, 0.9])
    expected = 1 / (1 + np.exp(-(2 * np.log(scores / (1 - scores)) - 1)))
    assert apply_platt(scores, 2.0, -1.0) == pytest.approx(expected)


def test_scaling_by_one_and_zero_changes_nothing():
    scores = np.array([0.0, 1e-9, 0.3, 1.0], np.float32)
    assert np.array_equal(apply_platt(scores, 1.0, 0.0), scores)


def test_certain_scores_stay_in_range():
    scaled = apply_platt(np.array([[0.0, 1.0]], np.float32), 3.0, 0.5)
    assert scaled.dtype == np.float32 and scaled.shape == (1, 2)
    assert 0 <= scaled.min() < 1e-6 and 1 - 1e-6 < scaled.max() <= 1


def test_fit_finds_the_line_that_the_truth_was_drawn_by():
    coefficient, intercept = fit_platt(*drawn(20000))
    assert coefficient == pytest.approx(0.5, abs=0.03)
    assert intercept == pytest.approx(-1.0, abs=0.06)


def test_fit_is_logistic_regression():
    scores, truth = drawn()
    reference = LogisticRegression(C=1e9).fit(logit(scores)[:, None], truth)
    expected = float(reference.coef_[0, 0]), float(reference.intercept_[0])
    assert fit_platt(scores, truth) == pytest.approx(expected, abs=5e-3)  # but for Platt's targets


def test_scores_below_the_cutoff_are_left_out():
    scores, truth = drawn()
    wrong = np.where(scores < 0.4, ~truth, truth)
    assert fit_platt(scores, wrong, 0.4) == fit_platt(scores[scores >= 0.4], truth[scores >= 0.4])


def test_perfectly_separated_scores_have_a_finite_fit():
    scores, truth = np.array([0.1] * 10 + [0.9] * 10), np.array([False] * 10 + [True] * 10)
    scaled = apply_platt(scores, *fit_platt(scores, truth))
    assert scaled == pytest.approx(np.where(truth, 11 / 12, 1 / 12), abs=1e-4)  # Platt's targets


@pytest.mark.parametrize(
    ("scores", "truth", "cutoff"),
    [
        ([0.5] * 9, [True] * 4 + [False] * 5, 0.0),
        ([0.5] * 20, [True] * 20, 0.0),
        ([0.5] * 20, [False] * 20, 0.0),
        ([0.2] * 20 + [0.9] * 9, [True, False] * 14 + [True], 0.6),
        ([], [], 0.0),
    ],
)
def test_too_few_scores_or_one_kind_alone_cannot_be_fitted(scores, truth, cutoff):
    with pytest.raises(ValueError, match="scores at or above"):
        fit_platt(np.array(scores), np.array(truth, bool), cutoff)


def test_threshold_is_the_lowest_that_has_the_precision():
    scores = np.array([[0.9], [0.8], [0.7], [0.6], [0.5], [0.4]])
    truth = np.array([[1], [0], [1], [1], [0], [0]], bool)  # precision from each on: 1, 1/2, 2/3, 3/4, 3/5, 1/2
    for precision, threshold in ((0.9, 0.9), (0.75, 0.6), (0.6, 0.5), (0.5, 0.4), (0.1, 0.4)):
        assert choose_thresholds(truth, scores, precision).tolist() == [threshold]


def test_equal_scores_are_taken_together():
    scores = np.array([[0.9], [0.9], [0.9], [0.1]])
    truth = np.array([[1], [1], [0], [0]], bool)
    assert np.isnan(choose_thresholds(truth, scores, 0.9))
    assert choose_thresholds(truth, scores, 0.6).tolist() == [0.9]


def test_class_without_samples_has_no_threshold_and_each_class_its_own():
    scores = np.array([[0.9, 0.9, 0.2], [0.3, 0.8, 0.1]])
    truth = np.array([[1, 0, 0], [0, 0, 1]], bool)
    assert np.array_equal(choose_thresholds(truth, scores, 0.5), [0.3, np.nan, 0.1], equal_nan=True)
    assert np.array_equal(choose_thresholds(truth, scores, 0.9), [0.9, np.nan, np.nan], equal_nan=True)


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.3, 0.5, 0.9]), st.booleans()), min_size=1), st.floats(0.05, 0.99))
def test_threshold_has_the_precision_and_no_lower_score_has(samples, precision):
    scores, truth = np.array([s for s, _ in samples]), np.array([t for _, t in samples])
    threshold = float(choose_thresholds(truth[:, None], scores[:, None], precision)[0])
    reaching = [s for s in set(scores) if truth[scores >= s].any() and truth[scores >= s].mean() >= precision]
    assert np.isnan(threshold) if not reaching else threshold == min(reaching)
