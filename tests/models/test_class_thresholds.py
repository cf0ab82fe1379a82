import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lib.models.class_thresholds import choose_thresholds


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
