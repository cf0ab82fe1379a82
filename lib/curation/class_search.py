"""Which windows to look at for a class of which few examples are known: active learning with a linear head.

Half of the windows are those that most likely hold the class, which finds examples of a rare sound; the other half are
those about which the head is least certain (Settles, Active Learning Literature Survey, 2009). The head also learns
from windows that nobody labelled and that score low: of a rare class, nearly all of them lack it.
"""

from collections.abc import Sequence

import numpy as np

from lib.curation.linear_head import LinearHead, fit_head

COMPONENTS = 30
"""Principal components of the features that a head is fitted to: few examples determine few numbers."""
PRESUMED = 2000
"""Unlabelled windows that count as without the class, at most."""
PRESUMED_OF = 0.8
"""Share of the unlabelled windows, those that score lowest, of which these are drawn."""
FIRST_PRESUMED = 60
"""The same before there is a head, of all windows."""
PASSES = 2


def principal_components(features: np.ndarray, n: int = COMPONENTS) -> tuple[np.ndarray, np.ndarray]:
    """Mean (dim,) and projection (dim, k) of features (n, dim) to the k <= n directions in which they differ most, each
    feature counting by its deviation."""
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    scale = np.where(deviation > 1e-6, 1 / np.maximum(deviation, 1e-6), 0)
    standard = (features - mean) * scale
    vectors = np.linalg.eigh(standard.T @ standard)[1][:, ::-1][:, :n]
    return mean, (scale[:, None] * vectors).astype(np.float32)


def fit_class_head(labelled: np.ndarray, truth: np.ndarray, pool: np.ndarray, rng: np.random.Generator) -> LinearHead:
    """A head that scores one class.

    Args:
        labelled: features of windows that people decided about, float32 (m, dim).
        truth: whether they hold the class, bool (m,).
        pool: features of the others, float32 (n, dim).
        rng: draws those that count as without the class.
    """

    def fit(presumed: np.ndarray) -> LinearHead:
        labels = np.append(truth, np.zeros(len(presumed), bool))
        return fit_head(np.concatenate([labelled, pool[presumed]]), labels[:, None], multi_label=True)

    n_first = min(FIRST_PRESUMED, len(pool)) if truth.all() else 0
    head = fit(rng.choice(len(pool), n_first, replace=False))
    for _ in range(PASSES if len(pool) else 0):
        low = np.argsort(head.scores(pool)[:, 0], kind="stable")[: max(1, int(PRESUMED_OF * len(pool)))]
        head = fit(rng.choice(low, min(PRESUMED, len(low)), replace=False))
    return head


def informative_windows(
    scores: np.ndarray, recordings: Sequence | np.ndarray, starts: np.ndarray, seconds: float, n: int
) -> list[int]:
    """Indices of n windows to look at, of which none overlap: half the highest scores, then those nearest to 0.5.

    Args:
        scores: of a class, (windows,), 0..1.
        recordings: of each window, by ID or name, (windows,).
        starts: (windows,), s.
        seconds: length of a window.
        n: how many, at most.
    """
    chosen: list[int] = []
    taken: dict[object, list[float]] = {}
    for order, n_wanted in (
        (np.argsort(-scores, kind="stable"), (n + 1) // 2),
        (np.argsort(np.abs(scores - 0.5), kind="stable"), n),
    ):
        for index in order:
            if len(chosen) >= n_wanted:
                break
            near = taken.setdefault(recordings[index], [])
            if all(abs(starts[index] - start) >= seconds - 1e-6 for start in near):
                near.append(float(starts[index]))
                chosen.append(int(index))
    return chosen
