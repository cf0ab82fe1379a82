"""How scores are scaled, and from which score on a class is labelled: by the settings, or as stored with a model."""

import numpy as np
from scipy.special import expit, logit

from lib.config import Infer
from lib.models.description import Calibration, Description

AS_IT_IS = (1.0, 0.0)
END = 1e-7
"""Thresholds are at least that far from 0 and 1, where logits have no end."""


def scaling_of(infer: Infer, description: Description) -> tuple[float, float]:
    """Coefficient and intercept of a model's Platt scaling, p' = sigmoid(coefficient * logit(p) + intercept).

    Those of the settings if either is set (the other is 1 or 0 then), else those stored with the model, else none.
    """
    if infer.scaling_coefficient is not None or infer.scaling_intercept is not None:
        coefficient = infer.scaling_coefficient
        return 1.0 if coefficient is None else coefficient, infer.scaling_intercept or 0.0
    stored = description.calibration
    return (stored.coefficient, stored.intercept) if stored else AS_IT_IS


def min_scores(infer: Infer, descriptions: list[Description]) -> np.ndarray:
    """The score from which on each class is labelled, float32 (n_classes,).

    infer.min_score, or with infer.class_thresholds what is stored with the models for a class: the mean of those of an
    ensemble that know one. They were chosen on scores as the stored scaling makes them; where the settings scale
    otherwise, they move along, so that the same windows are labelled.
    """
    names = descriptions[0].class_names
    found: dict[str, list[float]] = {name: [] for name in names}
    for description in descriptions if infer.class_thresholds else []:
        stored = description.calibration or Calibration()
        scaling = scaling_of(infer, description)
        for name in names:
            if name in stored.thresholds:
                found[name].append(_rescaled(stored.thresholds[name], stored, scaling))
    return np.array([float(np.mean(found[name] or [infer.min_score])) for name in names], np.float32)


def _rescaled(threshold: float, stored: Calibration, scaling: tuple[float, float]) -> float:
    """A threshold on scores of the stored scaling, as one on scores of another."""
    if (stored.coefficient, stored.intercept) == scaling:
        return threshold
    raw = (logit(np.clip(threshold, END, 1 - END)) - stored.intercept) / stored.coefficient
    coefficient, intercept = scaling
    return float(expit(coefficient * raw + intercept))
