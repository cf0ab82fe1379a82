import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from lib.models.platt_scaling import apply_platt, fit_platt


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
