"""From scores to probabilities and decisions: Platt scaling, and thresholds for each class.

Platt, Probabilistic Outputs for Support Vector Machines, 1999; here on the logits of scores in 0..1:
p' = sigmoid(coefficient * logit(p) + intercept). Coefficient 1 and intercept 0 leave scores as they are.
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

FEWEST = 10
"""Samples that a fit needs."""
END = 1e-7
"""Scores are at least that far from 0 and 1, where logits have no end."""


def apply_platt(scores: np.ndarray, coefficient: float, intercept: float) -> np.ndarray:
    """Scaled scores of scores in 0..1, of the same shape; float32 stays float32."""
    if coefficient == 1 and intercept == 0:
        return scores
    return expit(coefficient * _logits(scores) + intercept).astype(scores.dtype)


def fit_platt(scores: np.ndarray, truth: np.ndarray, cutoff: float = 0.0) -> tuple[float, float]:
    """Coefficient and intercept that bring scores (n,) nearest to the truth, bool (n,), by their likelihood.

    cutoff: scores below it are left out. Targets are those of Platt, (n+ + 1) / (n+ + 2) and 1 / (n- + 2), so that
    scores which separate perfectly have a finite fit too. Raises ValueError if too few samples are left, or all of them
    are true, or none.
    """
    kept = np.asarray(scores) >= cutoff
    x, y = _logits(np.asarray(scores)[kept]), np.asarray(truth)[kept].astype(bool)
    n_true, n_false = int(y.sum()), int((~y).sum())
    if len(y) < FEWEST:
        raise ValueError(f"only {len(y)} scores at or above {cutoff:g}, where Platt scaling needs {FEWEST}")
    if not n_true or not n_false:
        raise ValueError(f"all scores at or above {cutoff:g} are {'true' if n_true else 'false'}; both are needed")
    targets = np.where(y, (n_true + 1) / (n_true + 2), 1 / (n_false + 2))

    def loss(line: np.ndarray) -> tuple[float, np.ndarray]:
        z = line[0] * x + line[1]
        difference = expit(z) - targets
        value = np.logaddexp(0, z) - targets * z
        return float(value.mean()), np.array([(difference * x).mean(), difference.mean()])

    coefficient, intercept = minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS", options={"gtol": 1e-8}).x
    return float(coefficient), float(intercept)


def choose_thresholds(truth: np.ndarray, scores: np.ndarray, precision: float) -> np.ndarray:
    """The lowest score of each class from which on its samples have at least that precision: (n_classes,).

    truth: bool (n, n_classes); scores: of the same shape. Of all thresholds with the wanted precision, the lowest finds
    most. NaN where none has it, as for a class without samples. Precision depends on how common a class is among the
    samples: they should be like what the model will hear.
    """
    return np.array([_threshold(truth[:, i], scores[:, i], precision) for i in range(scores.shape[1])])


def _threshold(truth: np.ndarray, scores: np.ndarray, precision: float) -> float:
    order = np.argsort(-scores, kind="stable")
    scores, found = scores[order], np.cumsum(truth[order])
    last = np.append(scores[1:] != scores[:-1], True)  # a threshold takes all of the same score, or none
    enough = last & (found / np.arange(1, len(scores) + 1) >= precision) & (found > 0)
    return float(scores[enough][-1]) if enough.any() else float("nan")


def _logits(scores: np.ndarray) -> np.ndarray:
    return logit(np.clip(scores.astype(np.float64), END, 1 - END))
