import warnings

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from lib.evaluation import metrics


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
