"""Metrics of ranked scores and of decisions at a threshold, weighted by recording.

PR-AUC is the average precision of scikit-learn, sum over n of (R_n - R_{n-1}) P_n, without interpolation; ROC-AUC is
the probability that a positive scores above a negative, ties counting one half (Fawcett, An introduction to ROC
analysis, 2006). Tied scores are one point of a curve. Precision is 0 where nothing was found; what is undefined for
want of positives or negatives is NaN.

Functions take weights (b, r): b draws of the r recordings at once, each a number of times that a recording counts.
scikit-learn would sort all pairs again for each draw; here they are ranked once, and a draw costs a cumulative sum.
"""

from dataclasses import dataclass

import numpy as np

CELLS = 4_000_000
"""Of an array (draws, entries) in memory."""


@dataclass(frozen=True)
class Ranking:
    """Truth sorted by falling score, with what has the same effect on a curve counted together.

    Args:
        recording: of each entry, int (m,).
        positives, negatives: how many pairs of it the entry counts, float (m,).
        ends: the last entry of each point of the curve, int (g,).
        thresholds: lowest score of each point, float32 (g,).
    """

    recording: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray
    ends: np.ndarray
    thresholds: np.ndarray


def rank(truth: np.ndarray, scores: np.ndarray, recording: np.ndarray) -> Ranking:
    """Ranking of n pairs: truth bool (n,), scores (n,) at least 0, recording int (n,)."""
    scored = scores > 0
    order = np.flatnonzero(scored)
    order = order[np.argsort(-scores[order], kind="stable")]
    score, positive, owner = scores[order], truth[order], recording[order].astype(np.int64)
    point = _points(score, positive)

    n_recordings = int(recording.max(initial=0)) + 1
    keys, inverse = np.unique(point * n_recordings + owner, return_inverse=True)
    hits = np.bincount(inverse, weights=positive, minlength=len(keys))
    sizes = np.bincount(inverse, minlength=len(keys)).astype(np.float64)

    # Pairs without a score, most of them often, are the last point and need not be sorted.
    rest, n_points = recording[~scored], point[-1] + 1 if len(point) else 0
    rest_sizes = np.bincount(rest, minlength=n_recordings).astype(np.float64)
    rest_hits = np.bincount(rest, weights=truth[~scored], minlength=n_recordings)
    owners = np.flatnonzero(rest_sizes)
    points = np.append(keys // n_recordings, np.full(len(owners), n_points))
    positives, sizes = np.append(hits, rest_hits[owners]), np.append(sizes, rest_sizes[owners])
    thresholds = score[np.flatnonzero(np.diff(point, append=n_points))]
    return Ranking(
        recording=np.append(keys % n_recordings, owners),
        positives=positives,
        negatives=sizes - positives,
        ends=np.flatnonzero(np.diff(points, append=-1)),
        thresholds=np.append(thresholds, np.zeros(min(1, len(owners)), np.float32)),
    )


def _points(score: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Point of the curve of each of n pairs sorted by falling score.

    Pairs with the same score share one. So do neighbouring scores without positives: nothing is gained between them,
    and the curve runs straight through.
    """
    if len(score) == 0:
        return np.zeros(0, dtype=np.int64)
    tie = np.cumsum(np.diff(score, prepend=score[0]) != 0)
    has_positive = np.bincount(tie, weights=positive) > 0
    new = np.ones(len(has_positive), dtype=bool)
    new[1:] = has_positive[1:] | has_positive[:-1]
    return (np.cumsum(new) - 1)[tie]


def curve(ranking: Ranking, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True and false positives, float (b, g), at each point of a ranking."""
    drawn = weights[:, ranking.recording]
    tp = np.cumsum(drawn * ranking.positives, axis=1)[:, ranking.ends]
    fp = np.cumsum(drawn * ranking.negatives, axis=1)[:, ranking.ends]
    return tp, fp


def pr_auc(tp: np.ndarray, fp: np.ndarray) -> np.ndarray:
    """Average precision (b,) of curves; NaN without positives."""
    gained = np.diff(tp, axis=1, prepend=0)
    return ratio((gained * ratio(tp, tp + fp, empty=0)).sum(axis=1), tp[:, -1])


def roc_auc(tp: np.ndarray, fp: np.ndarray) -> np.ndarray:
    """Area (b,) under ROC curves; NaN without positives or without negatives."""
    passed = np.diff(fp, axis=1, prepend=0)
    below = tp - np.diff(tp, axis=1, prepend=0) / 2
    return ratio((passed * below).sum(axis=1), tp[:, -1] * fp[:, -1])


def areas(ranking: Ranking, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """PR-AUC and ROC-AUC, float (b,) each, in memory that does not grow with the number of draws.

    PR-AUC is NaN, too, without negatives: such a class says nothing.
    """
    step = max(1, CELLS // max(1, len(ranking.recording)))
    precision_recall, receiver = np.full(len(weights), np.nan), np.full(len(weights), np.nan)
    for begin in range(0, len(weights) if len(ranking.ends) else 0, step):
        part = slice(begin, begin + step)
        tp, fp = curve(ranking, weights[part])
        receiver[part] = roc_auc(tp, fp)
        precision_recall[part] = np.where(np.isnan(receiver[part]), np.nan, pr_auc(tp, fp))
    return precision_recall, receiver


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
