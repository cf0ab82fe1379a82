"""Statistics of the testers, under the names that the reference gives them.

Areas are those of lib.evaluation.metrics: what is undefined, for want of positives or of negatives, is NaN, and macro
averages are over the classes that have an area. Micro averages pool all pairs of a unit and a class, once of the
annotated classes and once of all trained ones.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lib.evaluation import metrics
from lib.evaluation.assembly import Evidence

THRESHOLDS = np.arange(1, 101) / 100
ROWS = 1000  # of a curve's table at most


def area_statistics(annotated: tuple, trained: tuple, classes: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Macro, micro and combined areas: of precision and recall, and ROC.

    annotated, trained: truth and scores. classes: annotated ones. combined is the mean of the macro and the micro
    average.
    """
    truth, scores = annotated
    by_class = [_areas(truth[:, i], scores[:, i]) for i in range(len(classes))]
    micro_annotated, micro_trained = _areas(*annotated), _areas(*trained)
    pr, roc = (
        _named(kind, dict(zip(classes, (areas[i] for areas in by_class), strict=True)), *micro)
        for i, (kind, *micro) in enumerate(zip(("pr", "roc"), micro_annotated, micro_trained, strict=True))
    )
    return pr, roc


def _named(kind: str, by_class: dict[str, float], micro_annotated: float, micro_trained: float) -> dict[str, Any]:
    defined = [area for area in by_class.values() if np.isfinite(area)]
    macro = float(np.mean(defined)) if defined else float("nan")
    return {
        f"macro_{kind}_auc": macro,
        f"micro_{kind}_auc_annotated": micro_annotated,
        f"micro_{kind}_auc_trained": micro_trained,
        f"class_{kind}_auc": by_class,
        f"combined_{kind}_auc_annotated": (macro + micro_annotated) / 2,
        f"combined_{kind}_auc_trained": (macro + micro_trained) / 2,
    }


def _areas(truth: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """PR-AUC and ROC-AUC."""
    truth, scores = np.asarray(truth).ravel().astype(bool), np.asarray(scores).ravel()
    ranking = metrics.rank(truth, scores, np.zeros(len(truth), dtype=np.int8))
    precision_recall, receiver = metrics.areas(ranking, np.ones((1, 1)))
    return float(precision_recall[0]), float(receiver[0])


@dataclass(frozen=True)
class Points:
    """The points of a curve by falling threshold: float (g,) each, with the true and false positives of it."""

    threshold: np.ndarray
    tp: np.ndarray
    fp: np.ndarray

    @property
    def precision(self) -> np.ndarray:
        return self.tp / (self.tp + self.fp)

    @property
    def recall(self) -> np.ndarray:
        return _share(self.tp, self.tp[-1:])

    @property
    def fpr(self) -> np.ndarray:
        return _share(self.fp, self.fp[-1:])


def points(truth: np.ndarray, scores: np.ndarray) -> Points:
    """Every point of the curves of all pairs, one for each different score."""
    truth, scores = np.asarray(truth).ravel().astype(bool), np.asarray(scores).ravel()
    scored = np.flatnonzero(scores > 0)  # most pairs have none, and need not be sorted
    order = scored[np.argsort(-scores[scored], kind="stable")]
    ends = np.flatnonzero(np.diff(scores[order], append=-1))
    tp, number, threshold = np.cumsum(truth[order])[ends], ends + 1, scores[order][ends]
    if len(order) < len(truth):
        tp, number = np.append(tp, truth.sum()), np.append(number, len(truth))
        threshold = np.append(threshold, scores.dtype.type(0))
    return Points(threshold, tp.astype(np.float64), (number - tp).astype(np.float64))


def precision_recall_curve(curve: Points) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision and recall (g + 1,) by rising threshold (g,), ending with 1 and 0, as scikit-learn has them."""
    return np.append(curve.precision[::-1], 1.0), np.append(curve.recall[::-1], 0.0), curve.threshold[::-1]


def roc_curve(curve: Points) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """False and true positive rates and falling thresholds, from infinity, without points on straight stretches."""
    corner = np.ones(len(curve.tp), dtype=bool)
    corner[1:-1] = (np.diff(curve.fp, 2) != 0) | (np.diff(curve.tp, 2) != 0)
    start = (0.0, 0.0, np.inf)
    fpr, tpr, threshold = (
        np.append(first, values[corner])
        for first, values in zip(start, (curve.fpr, curve.recall, curve.threshold), strict=True)
    )
    return fpr, tpr, threshold


@dataclass(frozen=True)
class Rates:
    """Precision and recall, float (t,), of all pairs at rising thresholds, and (c, t) of each class.

    Both are 0 where nothing was found; without positives, a class has no recall (NaN).
    """

    precision: np.ndarray
    recall: np.ndarray
    class_precision: np.ndarray
    class_recall: np.ndarray


def rates(truth: np.ndarray, scores: np.ndarray, thresholds: np.ndarray) -> Rates:
    """Rates of truth (n, c) and scores (n, c) at thresholds (t,)."""
    owner = np.zeros(len(truth), dtype=np.int64)
    pooled, by_class = metrics.count(truth.astype(bool, copy=False), scores, owner, 1, thresholds)
    return Rates(pooled.precision[0], np.nan_to_num(pooled.recall[0]), by_class.precision, by_class.recall)


def seconds(evidence: Evidence, truth: np.ndarray, columns: np.ndarray, thresholds: np.ndarray) -> tuple:
    """Seconds found where the class is, and where it is not, of the classes in some columns: (columns, t) each."""
    edges = np.asarray(thresholds, dtype=np.float32)
    place = np.full(truth.shape[1], -1)
    place[columns] = np.arange(len(columns))
    row = place[evidence.column]
    right = truth[evidence.unit, evidence.column].astype(bool)
    cells = row * (len(edges) + 1) + np.searchsorted(edges, evidence.score, side="right")
    sums = []
    for chosen in (right & (row >= 0), ~right & (row >= 0)):
        shape = (len(columns), len(edges) + 1)
        total = np.bincount(cells[chosen], weights=evidence.seconds[chosen], minlength=shape[0] * shape[1])
        sums.append(np.cumsum(total.reshape(shape)[:, ::-1], axis=1)[:, ::-1][:, 1:])
    return tuple(sums)


def seconds_precision(tp: np.ndarray, fp: np.ndarray) -> np.ndarray:
    """Share (t,) of the seconds (columns, t) that is right; 0 where nothing was found."""
    return _share(tp.sum(axis=0), (tp + fp).sum(axis=0), empty=0.0)


def thinned(*columns: np.ndarray, rows: int = ROWS) -> list[np.ndarray]:
    """At most so many rows of a curve, evenly chosen, with the first and the last."""
    chosen = np.unique(np.linspace(0, len(columns[0]) - 1, min(len(columns[0]), rows)).astype(int))
    return [column[chosen] for column in columns]


def at_recall(curve: Points, recall: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False positive rate and precision (n,) at the highest threshold that has a recall; recall: (n,), 0..1.

    NaN without positives.
    """
    if not curve.tp[-1:].any():
        return np.full(len(recall), np.nan), np.full(len(recall), np.nan)
    place = np.minimum(np.searchsorted(curve.recall, recall - 1e-9), len(curve.recall) - 1)
    start = recall <= 0
    return np.where(start, 0.0, curve.fpr[place]), np.where(start, 1.0, curve.precision[place])


def _share(part: np.ndarray, whole: np.ndarray, empty: float = np.nan) -> np.ndarray:
    whole = np.broadcast_to(whole, np.shape(part))
    return np.divide(part, whole, out=np.full(np.shape(part), empty, dtype=np.float64), where=whole > 0)
