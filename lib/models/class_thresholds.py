"""The score from which on a class is labelled, chosen by the precision that is wanted."""

import numpy as np
from sklearn.metrics import precision_recall_curve


def choose_thresholds(truth: np.ndarray, scores: np.ndarray, precision: float) -> np.ndarray:
    """The lowest score of each class from which on its samples have at least that precision: (n_classes,).

    Of all thresholds with the wanted precision, the lowest has the highest recall. NaN where none has it, as for a
    class without samples. Precision depends on how common a class is among the samples: they should resemble what the
    model will hear.

    Args:
        truth: bool (n, n_classes).
        scores: of the same shape.
        precision: 0..1.
    """
    return np.array([_threshold(truth[:, i], scores[:, i], precision) for i in range(scores.shape[1])])


def _threshold(truth: np.ndarray, scores: np.ndarray, precision: float) -> float:
    if not truth.any():
        return float("nan")
    precisions, _, thresholds = precision_recall_curve(truth, scores)
    return float(min(thresholds[(precisions[:-1] >= precision) & (precisions[:-1] > 0)], default=np.nan))
