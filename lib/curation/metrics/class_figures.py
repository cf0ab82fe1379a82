"""Precision, recall and F1 of matched events: of each class, and their averages weighted by the classes' support."""

from typing import NamedTuple

import numpy as np

from lib.curation.metrics.matched_events import NONE, MatchedEvents
from lib.evaluation.metrics import Counts, ratio

WEIGHTED = "weighted avg"


class ClassFigures(NamedTuple):
    """What was measured of a class, or of all.

    Args:
        name: of the class; WEIGHTED: of all.
        precision: right ones among the predictions of the class; 0 without any.
        recall: found ones among the true events of the class; NaN without any.
        f1: their harmonic mean; NaN without true events.
        true_positives, false_positives, false_negatives: numbers of events. A confusion of two classes is a false
            positive of one and a false negative of the other.
        support: number of true events.
    """

    name: str
    precision: float
    recall: float
    f1: float
    true_positives: int
    false_positives: int
    false_negatives: int
    support: int


def class_figures(matched: MatchedEvents, only: np.ndarray | None = None) -> dict[str, ClassFigures]:
    """Figures of each class by its name, and the weighted averages as WEIGHTED.

    The averages are those of scikit-learn: each class counts by its number of true events; they are NaN without any.
    only: rows that count, bool (n,).
    """
    rows = slice(None) if only is None else only
    truth, found = matched.truth_class[rows], matched.found_class[rows]
    n = len(matched.classes)
    tp, n_found, support = (
        np.bincount(each, minlength=n).astype(float)
        for each in (truth[(truth == found) & (truth != NONE)], found[found != NONE], truth[truth != NONE])
    )
    counts = Counts(tp[:, None], (n_found - tp)[:, None], support[:, None])
    by_class = np.stack([counts.precision, counts.recall, counts.f1])[:, :, 0]
    numbers = np.stack([tp, n_found - tp, support - tp, support]).astype(int)
    means = ratio(np.nansum(by_class * support, axis=1), support.sum())
    columns = np.column_stack([by_class, means]), np.column_stack([numbers, numbers.sum(axis=1)])
    names = [*matched.classes.tolist(), WEIGHTED]
    return {
        name: ClassFigures(name, precision, recall, f1, *whole)
        for name, (precision, recall, f1), whole in zip(names, *(each.T.tolist() for each in columns), strict=True)
    }


def stratum_figures(matched: MatchedEvents, strata: np.ndarray, n: int) -> list[dict[str, ClassFigures]]:
    """The figures of each of n strata; strata: of each row, int (n_rows,), NONE: of none."""
    return [class_figures(matched, strata == stratum) for stratum in range(n)]
