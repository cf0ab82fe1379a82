"""Platt scaling: scores as probabilities.

Platt, Probabilistic Outputs for Support Vector Machines, 1999; here on the logits of scores in 0..1:
p' = sigmoid(coefficient * logit(p) + intercept). Coefficient 1 and intercept 0 leave scores as they are.
"""

import numpy as np
from scipy.special import expit, logit

AS_IT_IS = (1.0, 0.0)
"""Coefficient and intercept that leave scores as they are."""
FEWEST = 10
"""Number of samples that a fit needs."""
END = 1e-7
"""Scores are kept that far from 0 and 1, where logits are infinite."""


def apply_platt(scores: np.ndarray, coefficient: float, intercept: float) -> np.ndarray:
    """Scaled scores of scores in 0..1, of the same shape; float32 stays float32.

    >>> apply_platt(np.array([0.5, 0.9]), 1.0, 0.0)
    array([0.5, 0.9])
    """
    if (coefficient, intercept) == AS_IT_IS:
        return scores
    return expit(coefficient * _logits(scores) + intercept).astype(scores.dtype)


def undo_platt(scores: np.ndarray, coefficient: float, intercept: float) -> np.ndarray:
    """Scores before a scaling, given scaled ones; 0, which stands for no score, stays 0."""
    if (coefficient, intercept) == AS_IT_IS:
        return scores
    return np.where(scores > 0, apply_platt(scores, 1 / coefficient, -intercept / coefficient), 0).astype(scores.dtype)


def fit_platt(scores: np.ndarray, truth: np.ndarray, cutoff: float = 0.0) -> tuple[float, float]:
    """Coefficient and intercept that maximize the likelihood of the truth.

    Targets are those of Platt, (n+ + 1) / (n+ + 2) and 1 / (n- + 2), so that scores which separate the classes
    perfectly have a finite fit, too.

    Args:
        scores: (n,), 0..1.
        truth: bool (n,).
        cutoff: scores below it are left out.

    Raises ValueError if too few samples remain, or only true or only false ones.
    """
    from sklearn.linear_model import LogisticRegression

    is_kept = np.asarray(scores) >= cutoff
    x, y = _logits(np.asarray(scores)[is_kept]), np.asarray(truth)[is_kept].astype(bool)
    n_true, n_false = int(y.sum()), int((~y).sum())
    if len(y) < FEWEST:
        raise ValueError(f"only {len(y)} scores at or above {cutoff:g}, where Platt scaling needs {FEWEST}")
    if not n_true or not n_false:
        raise ValueError(f"all scores at or above {cutoff:g} are {'true' if n_true else 'false'}; both are needed")
    targets = np.where(y, (n_true + 1) / (n_true + 2), 1 / (n_false + 2))
    # Scikit-learn takes no targets between 0 and 1: each becomes a weighted sample of either class.
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    weights = np.concatenate([targets, 1 - targets])
    model.fit(np.concatenate([x, x])[:, None], np.repeat([1, 0], len(x)), weights / weights.mean())
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def _logits(scores: np.ndarray) -> np.ndarray:
    return logit(np.clip(scores.astype(np.float64), END, 1 - END))
