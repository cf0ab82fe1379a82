"""Metrics of ranked scores and of decisions at a threshold, weighted by recording.

PR-AUC is the average precision of scikit-learn, sum over n of (R_n - R_{n-1}) P_n, without interpolation; ROC-AUC is
the probability that a positive scores above a negative, ties counting one half (Fawcett, An introduction to ROC
analysis, 2006). Tied scores are one point of a curve. Precision is 0 where nothing was found; what is undefined for
want of positives or negatives is NaN.

All functions take weights (b, r): b draws of the r recordings at once, each a number of times that a recording counts.
"""

from dataclasses import dataclass

import numpy as np

CELLS = 4_000_000  # of a draws x entries array that is held at once


@dataclass(frozen=True)
class Ranking:
    """Truth sorted by falling score, with what has the same effect on a curve counted together.

    recording: int (m,), the recording of an entry. positives, negatives: float (m,), how many pairs of it the entry
    counts. ends: int (g,), the last entry of each point of the curve. thresholds: float32 (g,), lowest score of it.
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
    points, owners = keys // n_recordings, keys % n_recordings

    unscored = ~scored
    zero_sizes = np.bincount(recording[unscored], minlength=n_recordings).astype(np.float64)
    zero_hits = np.bincount(recording[unscored], weights=truth[unscored], minlength=n_recordings)
    zero_owners = np.flatnonzero(zero_sizes)
    zero_point = point[-1] + 1 if len(point) else 0
    points = np.concatenate([points, np.full(len(zero_owners), zero_point)])

    positives = np.concatenate([hits, zero_hits[zero_owners]])
    sizes = np.concatenate([sizes, zero_sizes[zero_owners]])
    thresholds = score[np.flatnonzero(np.diff(point, append=-1))] if len(point) else score
    if len(zero_owners):
        thresholds = np.append(thresholds, np.float32(0))
    return Ranking(
        recording=np.concatenate([owners, zero_owners]),
        positives=positives,
        negatives=sizes - positives,
        ends=np.flatnonzero(np.diff(points, append=-1)),
        thresholds=thresholds,
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
    return _ratio((gained * _ratio(tp, tp + fp, empty=0)).sum(axis=1), tp[:, -1])


def roc_auc(tp: np.ndarray, fp: np.ndarray) -> np.ndarray:
    """Area (b,) under ROC curves; NaN without positives or without negatives."""
    passed = np.diff(fp, axis=1, prepend=0)
    below = tp - np.diff(tp, axis=1, prepend=0) / 2
    return _ratio((passed * below).sum(axis=1), tp[:, -1] * fp[:, -1])


def areas(ranking: Ranking, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """PR-AUC and ROC-AUC, float (b,) each, in memory that does not grow with the number of draws.

    PR-AUC is NaN, too, where there are no negatives: such a class says nothing.
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
        return _ratio(self.tp, self.tp + self.fp, empty=0)

    @property
    def recall(self) -> np.ndarray:
        """TP / positives; NaN without positives."""
        return _ratio(self.tp, np.broadcast_to(self.positives, self.tp.shape))

    @property
    def f1(self) -> np.ndarray:
        """2 TP / (2 TP + FP + FN), the harmonic mean of precision and recall; NaN without positives."""
        value = _ratio(2 * self.tp, self.tp + self.fp + self.positives)
        return np.where(self.positives > 0, value, np.nan)

    def drawn(self, weights: np.ndarray) -> "Counts":
        """Counts (b, t) of draws of the rows, weights (b, k)."""
        return Counts(weights @ self.tp, weights @ self.fp, weights @ self.positives)


def count(
    truth: np.ndarray, scores: np.ndarray, recording: np.ndarray, n_recordings: int, thresholds: np.ndarray
) -> tuple[Counts, Counts]:
    """Counts for each recording and for each class at rising thresholds (t,).

    truth bool (n, c), scores float32 (n, c), recording int (n,). A class is found where its score is at least the
    threshold, both as float32.
    """
    edges = np.asarray(thresholds, dtype=scores.dtype)
    levels, n_classes = len(edges) + 1, truth.shape[1]
    hits, alarms = np.zeros((n_recordings, levels)), np.zeros((n_recordings, levels))
    class_hits, class_alarms = np.zeros((n_classes, levels)), np.zeros((n_classes, levels))
    for column in range(n_classes):
        level = np.searchsorted(edges, scores[:, column], side="right")
        cells = recording * levels + level
        positive = truth[:, column]
        for target, by_class, chosen in ((hits, class_hits, positive), (alarms, class_alarms, ~positive)):
            found = np.bincount(cells[chosen], minlength=n_recordings * levels).reshape(n_recordings, levels)
            target += found
            by_class[column] = found.sum(axis=0)
    return _counts(hits, alarms), _counts(class_hits, class_alarms)


def _counts(hits: np.ndarray, alarms: np.ndarray) -> Counts:
    """Counts from numbers of pairs (k, t + 1) that reach exactly that many thresholds."""
    tp, fp = (np.cumsum(levels[:, ::-1], axis=1)[:, ::-1] for levels in (hits, alarms))
    return Counts(tp[:, 1:], fp[:, 1:], tp[:, :1])


def _ratio(above: np.ndarray, below: np.ndarray, empty: float = np.nan) -> np.ndarray:
    return np.divide(above, below, out=np.full(np.shape(above), empty, dtype=np.float64), where=below > 0)
