import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score, roc_auc_score

from lib.evaluation import metrics

ONCE = np.ones((1, 1), dtype=np.float32)


def areas(truth, scores):
    truth, scores = np.array(truth, dtype=bool), np.array(scores, dtype=np.float32)
    precision_recall, receiver = metrics.areas(metrics.rank(truth, scores, np.zeros(len(truth), int)), ONCE)
    return precision_recall[0], receiver[0]


def test_areas_of_a_small_case_worked_out_by_hand():
    # by falling score: +, -, +, -: precision 1 at recall 1/2 and 2/3 at recall 1; 3 of 4 pairs are in order
    assert areas([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1]) == pytest.approx((1 / 2 + 2 / 3 / 2, 3 / 4))


def test_tied_scores_are_one_point():
    assert areas([1, 0, 0, 1], [0.5, 0.5, 0.5, 0.5]) == pytest.approx((0.5, 0.5))


def test_areas_are_undefined_without_positives_or_negatives():
    assert np.isnan(areas([0, 0], [0.1, 0.2])).all()
    assert np.isnan(areas([1, 1], [0.1, 0.2])).all()
    assert np.isnan(areas([], [])).all()


cases = st.integers(2, 60).flatmap(
    lambda size: st.tuples(
        st.lists(st.booleans(), min_size=size, max_size=size),
        st.lists(st.integers(0, 8).map(lambda step: step / 8), min_size=size, max_size=size),
        st.lists(st.integers(0, 3), min_size=size, max_size=size),
        st.lists(st.integers(0, 3), min_size=4, max_size=4),
    )
)


@given(cases)
@settings(max_examples=100, deadline=None)
def test_areas_equal_scikit_learn_with_ties_and_weights(case):
    truth, scores, recording, weights = (np.array(part) for part in case)
    ranking = metrics.rank(truth, scores.astype(np.float32), recording)
    precision_recall, receiver = metrics.areas(ranking, weights[None].astype(np.float32))
    weight = weights[recording].astype(float)
    positive, negative = weight[truth].sum(), weight[~truth].sum()
    if positive and negative:
        assert precision_recall[0] == pytest.approx(average_precision_score(truth, scores, sample_weight=weight))
        assert receiver[0] == pytest.approx(roc_auc_score(truth, scores, sample_weight=weight))
    else:
        assert np.isnan(precision_recall[0]) and np.isnan(receiver[0])


def test_areas_do_not_depend_on_how_many_draws_are_made_at_once(monkeypatch):
    rng = np.random.default_rng(0)
    ranking = metrics.rank(rng.random(500) < 0.2, rng.random(500, dtype=np.float32), rng.integers(0, 7, 500))
    weights = rng.integers(0, 3, (50, 7)).astype(np.float32)
    together = metrics.areas(ranking, weights)
    monkeypatch.setattr(metrics, "CELLS", 1)
    np.testing.assert_array_equal(metrics.areas(ranking, weights), together)


@pytest.mark.parametrize("threshold", [0.0, 0.29, 0.5, 1.0])
def test_counts_equal_scikit_learn(threshold):
    rng = np.random.default_rng(1)
    truth = rng.random((300, 4)) < 0.3
    scores = np.round(np.clip(0.4 * truth + 0.7 * rng.random((300, 4)), 0, 1), 2).astype(np.float32)
    recording = np.sort(rng.integers(0, 6, 300))
    found = scores >= np.float32(threshold)
    per_recording, per_class = metrics.count(truth, scores, recording, 6, np.array([threshold]))
    pooled = per_recording.drawn(np.ones((1, 6)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert pooled.precision[0, 0] == pytest.approx(precision_score(truth, found, average="micro"))
        assert pooled.recall[0, 0] == pytest.approx(recall_score(truth, found, average="micro"))
        assert pooled.f1[0, 0] == pytest.approx(f1_score(truth, found, average="micro"))
        np.testing.assert_allclose(per_class.precision[:, 0], precision_score(truth, found, average=None))
        np.testing.assert_allclose(per_class.f1[:, 0], f1_score(truth, found, average=None))


def test_a_score_equal_to_the_threshold_counts_as_found():
    truth, scores = np.ones((1, 1), bool), np.full((1, 1), 0.29, np.float32)
    counts, _ = metrics.count(truth, scores, np.zeros(1, int), 1, np.array([0.29, 0.3]))
    assert counts.tp.tolist() == [[1, 0]]


def test_precision_is_zero_where_nothing_was_found_and_recall_undefined_without_positives():
    _, counts = metrics.count(
        np.array([[True, False]]), np.zeros((1, 2), np.float32), np.zeros(1, int), 1, np.array([0.5])
    )
    assert counts.precision[:, 0].tolist() == [0, 0]
    assert counts.recall[0, 0] == 0 and np.isnan(counts.recall[1, 0])
    assert counts.f1[0, 0] == 0 and np.isnan(counts.f1[1, 0])


@pytest.mark.parametrize(("n_points", "n_kept"), [(5000, 1000), (3, 3), (0, 0)])
def test_thinning_keeps_the_ends(n_points, n_kept):
    chosen = metrics.thin(n_points, 1000)
    assert len(chosen) == n_kept and set(chosen[[0, -1]] if n_kept else []) <= {0, n_points - 1}
