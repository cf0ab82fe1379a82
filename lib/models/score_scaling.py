"""How scores are scaled, and from which score on a class is labelled: by the settings, or as stored with a model."""

import numpy as np

from lib.config.schema import InferSettings
from lib.models.description import Calibration, Description
from lib.models.platt_scaling import apply_platt, undo_platt

SAME_SCORE = 1e-6
"""Scores differ by up to 1.2e-7 with the size of the batch, and by up to 7e-7 with the processor's instruction set
(measured in 32 bits; with bf16, 1e-3). A threshold may be the very score of a window, which must stay labelled."""


def scaling_of(infer: InferSettings, description: Description) -> tuple[float, float]:
    """Coefficient and intercept of a model's Platt scaling, see lib.models.platt_scaling.

    Those of the settings if either is set (the other is 1 or 0 then), else those stored with the model, else 1 and 0.
    """
    if infer.scaling_coefficient is None and infer.scaling_intercept is None:
        return description.stored_calibration.scaling
    coefficient = infer.scaling_coefficient
    return 1.0 if coefficient is None else coefficient, infer.scaling_intercept or 0.0


def min_scores(infer: InferSettings, descriptions: list[Description]) -> np.ndarray:
    """The score from which on each class is labelled, float32 (n_classes,), less SAME_SCORE.

    infer.min_score; or, with infer.class_thresholds, the threshold that is stored with a model for a class, the mean of
    them if several models of an ensemble have one. Thresholds were chosen on scores of the stored scaling: where the
    settings scale otherwise, they are rescaled, so that the same windows are labelled.
    """
    names = descriptions[0].class_names
    thresholds: dict[str, list[float]] = {name: [] for name in names}
    for description in descriptions if infer.class_thresholds else []:
        stored = description.stored_calibration
        scaling = scaling_of(infer, description)
        for name in thresholds.keys() & stored.thresholds.keys():
            thresholds[name].append(_rescaled(stored.thresholds[name], stored, scaling))
    chosen = np.array([float(np.mean(thresholds[name] or [infer.min_score])) for name in names])
    return (chosen - SAME_SCORE).astype(np.float32)


def _rescaled(threshold: float, stored: Calibration, scaling: tuple[float, float]) -> float:
    """A threshold on scores of the stored scaling, as one on scores of another."""
    if stored.scaling == scaling:
        return threshold
    return float(apply_platt(undo_platt(np.array([threshold]), *stored.scaling), *scaling)[0])
