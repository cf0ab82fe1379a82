"""Metrics of decisions at a threshold, weighted by recording.

Precision is 0 where nothing was found; what is undefined for want of positives or negatives is NaN. Weights (b, r) are
b bootstrap draws of r recordings: how often each recording counts. Areas under curves of more pairs than memory holds,
and of draws, are in lib.evaluation.ranked_pairs.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Counts:
    """True positives, false positives and positives; tp and fp (k, t) for t thresholds, positives (k, 1)."""

    tp: np.ndarray
    fp: np.ndarray
    positives: np.ndarray

    @property
    def precision(self) -> np.ndarray:
        """TP / (TP + FP); 0 where nothing was found."""
        return ratio(self.tp, self.tp + self.fp, empty=0)

    @property
    def recall(self) -> np.ndarray:
        """TP / positives; NaN without positives."""
        return ratio(self.tp, self.positives)

    @property
    def f1(self) -> np.ndarray:
        """2 TP / (2 TP + FP + FN), the harmonic mean of precision and recall; NaN without positives."""
        value = ratio(2 * self.tp, self.tp + self.fp + self.positives)
        return np.where(self.positives > 0, value, np.nan)

    def drawn(self, weights: np.ndarray) -> "Counts":
        """Counts (b, t) of draws of the rows, weights (b, k)."""
        return Counts(weights @ self.tp, weights @ self.fp, weights @ self.positives)

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.tp + other.tp, self.fp + other.fp, self.positives + other.positives)


def count(
    truth: np.ndarray, scores: np.ndarray, recording: np.ndarray, n_recordings: int, thresholds: np.ndarray
) -> tuple[Counts, Counts]:
    """Counts for each recording and for each class.

    Args:
        truth: bool (n, c).
        scores: float32 (n, c); a class is found where its score is at least the threshold, both as float32.
        recording: int (n,), below n_recordings.
        n_recordings: number of recordings.
        thresholds: rising, (t,).
    """
    edges = np.asarray(thresholds, dtype=scores.dtype)
    levels, n_classes = len(edges) + 1, truth.shape[1]
    hits, alarms = np.zeros((2, n_recordings, levels))
    class_hits, class_alarms = np.zeros((2, n_classes, levels))
    for column in range(n_classes):
        cells = recording * levels + np.searchsorted(edges, scores[:, column], side="right")
        positive = truth[:, column]
        for by_recording, by_class, chosen in ((hits, class_hits, positive), (alarms, class_alarms, ~positive)):
            found = np.bincount(cells[chosen], minlength=n_recordings * levels).reshape(n_recordings, levels)
            by_recording += found
            by_class[column] = found.sum(axis=0)
    return _counts(hits, alarms), _counts(class_hits, class_alarms)


def _counts(hits: np.ndarray, alarms: np.ndarray) -> Counts:
    """Counts from numbers of pairs (k, t + 1) that reach exactly that many thresholds."""
    tp, fp = reaching(hits), reaching(alarms)
    return Counts(tp[:, 1:], fp[:, 1:], tp[:, :1])


def reaching(levels: np.ndarray) -> np.ndarray:
    """Sums (k, t) of each level and all above it."""
    return np.cumsum(levels[:, ::-1], axis=1)[:, ::-1]


def areas(truth: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """PR-AUC and ROC-AUC of n pairs in memory: truth bool (n,), scores (n,); NaN without positives or negatives."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    if not truth.any() or truth.all():
        return np.nan, np.nan
    return float(average_precision_score(truth, scores)), float(roc_auc_score(truth, scores))


def group_sums(values: np.ndarray, group: np.ndarray, n_groups: int) -> np.ndarray:
    """Sums (n_groups, c) of the rows of values (n, c) by their group, int (n,)."""
    sums = [np.bincount(group, weights=column, minlength=n_groups) for column in values.T]
    return np.reshape(sums, (values.shape[1], n_groups)).T


def thin(n_points: int, most: int) -> np.ndarray:
    """Indexes of at most that many points, evenly chosen, with the first and the last."""
    return np.unique(np.linspace(0, n_points - 1, min(n_points, most)).astype(int))


def ratio(above: np.ndarray, below: np.ndarray, empty: float = np.nan) -> np.ndarray:
    """above / below, `empty` where below is 0."""
    above, below = np.broadcast_arrays(above, below)
    return np.divide(above, below, out=np.full(above.shape, empty, dtype=np.float64), where=below > 0)
