"""Statistics of the testers, under the names that the reference gives them.

Areas are those of lib.evaluation.metrics: what is undefined for want of positives or of negatives is NaN, and macro
averages are over the classes that have an area. Micro averages pool all pairs of a unit and a class, once of the
annotated classes and once of all trained ones. Truth is bool or 0 and 1, scores are 0..1, both (units, classes).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import confusion_matrix_at_thresholds

from lib.evaluation import metrics
from lib.evaluation.metrics import areas

THRESHOLDS = np.arange(1, 101) / 100

Pair = tuple[np.ndarray, np.ndarray]


def area_statistics(annotated: Pair, trained: Pair, classes: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Macro, micro and combined areas under precision-recall and ROC curves.

    Args:
        annotated, trained: truth and scores.
        classes: the annotated ones.

    `combined` is the mean of the macro and the micro average.
    """
    by_class = [areas(truth != 0, scores) for truth, scores in zip(annotated[0].T, annotated[1].T, strict=True)]
    of_classes = np.reshape(by_class, (-1, 2)).T.tolist()
    pr, roc = (
        _named(kind, dict(zip(classes, values, strict=True)), *micro)
        for kind, values, *micro in zip(("pr", "roc"), of_classes, *map(_pooled, (annotated, trained)), strict=True)
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


def _pooled(pair: Pair) -> tuple[float, float]:
    """PR-AUC and ROC-AUC of all pairs of a unit and a class."""
    truth, scores = pair
    return areas(truth.ravel() != 0, scores.ravel())


@dataclass(frozen=True)
class Points:
    """The points of a curve by falling threshold: float (g,) each, with its true and false positives."""

    threshold: np.ndarray
    tp: np.ndarray
    fp: np.ndarray

    @property
    def precision(self) -> np.ndarray:
        return self.tp / (self.tp + self.fp)

    @property
    def recall(self) -> np.ndarray:
        """NaN without positives."""
        return metrics.ratio(self.tp, self.tp[-1:])

    @property
    def fpr(self) -> np.ndarray:
        """NaN without negatives."""
        return metrics.ratio(self.fp, self.fp[-1:])


def points(truth: np.ndarray, scores: np.ndarray) -> Points:
    """Every point of the curves of all pairs, one for each different score."""
    truth, scores = truth.ravel().astype(bool), scores.ravel()
    if not len(truth):
        return Points(scores, np.zeros(0), np.zeros(0))
    scored = scores > 0
    rest = truth[~scored]  # most pairs have no score: they are two samples with a weight, and need not be sorted
    _, fp, _, tp, threshold = confusion_matrix_at_thresholds(
        np.append(truth[scored], [True, False]),
        np.append(scores[scored], np.zeros(2, scores.dtype)),
        sample_weight=np.append(np.ones(scored.sum()), [rest.sum(), (~rest).sum()]),
    )
    return Points(threshold, tp, fp)


def precision_recall_curve(curve: Points) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision and recall (g + 1,) by rising threshold (g,), ending with 1 and 0, as scikit-learn has them."""
    return np.append(curve.precision[::-1], 1.0), np.append(curve.recall[::-1], 0.0), curve.threshold[::-1]


def roc_curve(curve: Points) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """False and true positive rates and falling thresholds, from infinity, as scikit-learn has them.

    Points on straight stretches are left out.
    """
    corner = np.ones(len(curve.tp), dtype=bool)
    corner[1:-1] = (np.diff(curve.fp, 2) != 0) | (np.diff(curve.tp, 2) != 0)
    rates = (curve.fpr, 0.0), (curve.recall, 0.0), (curve.threshold, np.inf)
    fpr, tpr, threshold = (np.append(first, values[corner]) for values, first in rates)
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
    """Rates at thresholds (t,)."""
    together = np.zeros(len(truth), dtype=np.int64)
    pooled, by_class = metrics.count(truth.astype(bool, copy=False), scores, together, 1, thresholds)
    return Rates(pooled.precision[0], np.nan_to_num(pooled.recall[0]), by_class.precision, by_class.recall)


class ClassLabels(NamedTuple):
    """The labels of a class.

    Args:
        unit: int (m,), index.
        is_right: bool (m,), whether the class is in the unit.
        score: float32 (m,), above 0.
        seconds: float (m,), what each adds to the time in which the class was found: those that neither the next label
            nor the next unit covers too.
    """

    unit: np.ndarray
    is_right: np.ndarray
    score: np.ndarray
    seconds: np.ndarray


def seconds(labels: Iterable[ClassLabels], thresholds: np.ndarray) -> Pair:
    """Seconds found where the class is, and where it is not, of some classes: (classes, t) each.

    labels: of each class.
    """
    edges = np.asarray(thresholds, dtype=np.float32)
    levels = [
        [np.bincount(level, found.seconds * counts, len(edges) + 1) for counts in (found.is_right, ~found.is_right)]
        for found in labels
        for level in [np.searchsorted(edges, found.score, side="right")]
    ]
    right, wrong = np.reshape(levels, (-1, 2, len(edges) + 1)).swapaxes(0, 1)
    return metrics.reaching(right)[:, 1:], metrics.reaching(wrong)[:, 1:]


def seconds_precision(tp: np.ndarray, fp: np.ndarray) -> np.ndarray:
    """Share (t,) of the seconds (columns, t) that is right; 0 where nothing was found."""
    return metrics.ratio(tp.sum(axis=0), (tp + fp).sum(axis=0), empty=0.0)


def at_recall(curve: Points, recall: np.ndarray) -> Pair:
    """False positive rate and precision (n,) at the highest threshold that has a recall; recall: (n,), 0..1.

    NaN without positives.
    """
    if not curve.tp[-1:].any():
        return np.full(len(recall), np.nan), np.full(len(recall), np.nan)
    place = np.minimum(np.searchsorted(curve.recall, recall - 1e-9), len(curve.recall) - 1)
    start = recall <= 0
    return np.where(start, 0.0, curve.fpr[place]), np.where(start, 1.0, curve.precision[place])
