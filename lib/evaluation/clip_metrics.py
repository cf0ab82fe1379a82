"""Figures of whole clips: which classes sound in a clip, however many windows it has.

A clip's score is the mean of those of its windows, and a class is found in it where that score reaches the threshold.
Figures have the names of Lumen's documentation, and are defined as its console output and its server are computed, by
torchmetrics:

| figure | what |
| --- | --- |
| accuracy | share of right pairs of a clip and a class: found where present, or not found where absent |
| hamming_distance | share of wrong pairs, 1 - accuracy |
| precision, recall, f1 | mean over classes (macro) |
| instruments/NAME_accuracy, ... | the same five of a class, each over all clips |
| mAP | mean over classes of the average precision, which no threshold takes part in |
| LRAP | label ranking average precision: how far each clip's classes rank above the others |
| micro_f1 | F1 of all pairs pooled |
| samples_f1 | F1 of each clip, mean over clips |

What Lumen published of itself are two others: its Hamming figure of 0.910 is the share of right pairs, here accuracy,
and its F1 of 0.706 is samples_f1.

Conventions: precision, recall, f1 and mAP are means over the classes that are present in some clips, mAP over those of
them that are absent from others, so that they do not depend on how many other classes a model knows. LRAP is the mean
over clips with a class. Precision, recall and F1 are 0 where they are undefined, as in torchmetrics, except for a clip
without any class in which nothing is found, whose own are 1; mAP and LRAP are left out where they are undefined.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from sklearn.metrics import label_ranking_average_precision_score

from lib.evaluation.metrics import Counts, areas

CLIP_METRICS = ("accuracy", "hamming_distance", "f1", "precision", "recall")
"""The document's figures, which each class and each clip has, too."""
FIGURES = (*CLIP_METRICS, "mAP", "LRAP", "micro_f1", "samples_f1")
"""Those of all classes together."""


def clip_scores(window_scores: np.ndarray | Iterable[np.ndarray]) -> np.ndarray:
    """A clip's score of each class, float32 (n_classes,): the mean of its windows.

    Args:
        window_scores: float32 (n_windows, n_classes), in one array or in several of the same clip.

    Raises ValueError if there is no window.

    >>> clip_scores(np.array([[0.25, 1.0], [0.75, 0.5]], np.float32))
    array([0.5 , 0.75], dtype=float32)
    """
    n_windows, total = 0, np.zeros(0)
    for block in [window_scores] if isinstance(window_scores, np.ndarray) else window_scores:
        total = block.sum(axis=0, dtype=np.float64) + (total if n_windows else 0)
        n_windows += len(block)
    if not n_windows:
        raise ValueError("a clip without windows has no score")
    return (total / n_windows).astype(np.float32)


def classes_found(scores: np.ndarray, threshold: float | np.ndarray) -> np.ndarray:
    """Whether each class is found in each clip, bool (n_clips, n_classes).

    Args:
        scores: float32 (n_clips, n_classes), 0..1.
        threshold: lowest score of a class that is found, one for all or one for each (n_classes,).
    """
    return scores >= np.asarray(threshold, dtype=scores.dtype)


def clip_figures(
    truth: np.ndarray,
    scores: np.ndarray,
    threshold: float | np.ndarray = 0.5,
    class_names: Sequence[str] | None = None,
) -> dict[str, float]:
    """All figures of clips, by name, see above.

    Args:
        truth: which classes are present, bool (n_clips, n_classes).
        scores: of the clips, float32 (n_clips, n_classes), 0..1.
        threshold: lowest score of a class that is found, one for all or one for each (n_classes,).
        class_names: names (n_classes,) to give the figures of each class, too.

    Raises ValueError if there is no clip, or shapes differ.

    >>> truth, scores = np.array([[True, False], [True, True]]), np.array([[0.9, 0.2], [0.7, 0.1]])
    >>> figures = clip_figures(truth, scores)
    >>> figures["accuracy"], figures["precision"], figures["recall"], figures["micro_f1"]
    (0.75, 0.5, 0.5, 0.8)
    """
    if truth.shape != scores.shape or not truth.size:
        raise ValueError(f"truth {truth.shape} and scores {scores.shape} must be of the same clips and classes")
    found, present = classes_found(scores, threshold), truth.any(axis=0)
    of_classes = figures_of_columns(truth, found)
    figures = {name: float(of_classes[name].mean()) for name in ("accuracy", "hamming_distance")}
    for name in ("f1", "precision", "recall"):
        figures[name] = float(of_classes[name][present].mean()) if present.any() else 0.0
    if (usable := present & ~truth.all(axis=0)).any():
        pairs = zip(truth.T[usable], scores.T[usable], strict=True)
        figures["mAP"] = float(np.mean([areas(*of_class)[0] for of_class in pairs]))
    if (has_class := truth.any(axis=1)).any():
        figures["LRAP"] = float(label_ranking_average_precision_score(truth[has_class], scores[has_class]))
    figures["micro_f1"] = float(figures_of_columns(truth.reshape(-1, 1), found.reshape(-1, 1))["f1"][0])
    figures["samples_f1"] = float(figures_of_clips(truth, found)["f1"].mean())
    for column, class_name in enumerate(class_names or ()):
        figures |= {f"instruments/{class_name}_{name}": float(of_classes[name][column]) for name in CLIP_METRICS}
    return figures


def figures_of_columns(truth: np.ndarray, found: np.ndarray) -> dict[str, np.ndarray]:
    """Each of CLIP_METRICS for each column, such as a class.

    truth, found: bool (n_rows, n_columns); the figures are float64 (n_columns,).
    """
    tp, positives = (truth & found).sum(axis=0), truth.sum(axis=0)
    counts = Counts(tp, found.sum(axis=0) - tp, positives)
    accuracy = (truth == found).mean(axis=0)
    return {
        "accuracy": accuracy,
        "hamming_distance": 1 - accuracy,
        "f1": np.nan_to_num(counts.f1),
        "precision": counts.precision,
        "recall": np.nan_to_num(counts.recall),
    }


def figures_of_clips(truth: np.ndarray, found: np.ndarray) -> dict[str, np.ndarray]:
    """Each of CLIP_METRICS for each clip, float64 (n_clips,); truth, found: bool (n_clips, n_classes)."""
    figures, is_silent = figures_of_columns(truth.T, found.T), ~(truth | found).any(axis=1)
    return figures | {name: np.where(is_silent, 1.0, figures[name]) for name in ("f1", "precision", "recall")}
