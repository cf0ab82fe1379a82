"""A linear classifier of embeddings or other features, fitted in seconds: logistic regression with an L2 penalty."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from lib.core.devices import compute_threads

PENALTY = 0.1
"""Weight of half the squared coefficients, beside the mean loss of a window."""
STEPS = 80
"""Of L-BFGS, at most."""
LEAST_DEVIATION = 1e-6


class LinearHead(NamedTuple):
    """Scores = sigmoid or softmax of (features - mean) / deviation @ weights + bias."""

    mean: np.ndarray
    deviation: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    multi_label: bool

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Scores of windows, float32 (n, n_classes), 0..1. features: (n, dim)."""
        logits = torch.from_numpy((features - self.mean) / self.deviation @ self.weights + self.bias)
        return (logits.sigmoid() if self.multi_label else logits.softmax(dim=1)).numpy()


def fit_head(
    features: np.ndarray,
    labels: np.ndarray,
    multi_label: bool,
    trusted: np.ndarray | None = None,
    penalty: float = PENALTY,
) -> LinearHead:
    """Fit a head. It is the same each time: it starts at zero, and the loss is convex.

    Args:
        features: float32 (n, dim).
        labels: bool (n, n_classes); unless multi_label, one a row.
        multi_label: sigmoids, else a softmax.
        trusted: bool (n, n_classes), which labels count; None: all. Unless multi_label, a row counts if all of it does.
        penalty: see PENALTY.
    """
    mean = features.mean(axis=0)
    deviation = np.maximum(features.std(axis=0), LEAST_DEVIATION)
    counted = np.ones(labels.shape, bool) if trusted is None else trusted
    with compute_threads(1):  # small products: threads would wait for each other
        x = torch.from_numpy(((features - mean) / deviation).astype(np.float32))
        y, counts = torch.from_numpy(labels.astype(np.float32)), torch.from_numpy(counted.astype(np.float32))
        weights = torch.zeros(x.shape[1], y.shape[1], requires_grad=True)
        bias = torch.zeros(y.shape[1], requires_grad=True)
        optimizer = torch.optim.LBFGS([weights, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

        def loss() -> torch.Tensor:
            optimizer.zero_grad()
            logits = x @ weights + bias
            if multi_label:
                losses = F.binary_cross_entropy_with_logits(logits, y, reduction="none") * counts
                value = losses.sum() / counts.sum(dim=0).mean().clamp_min(1)
            else:
                of_rows = counts.amin(dim=1)
                value = -((y * logits.log_softmax(dim=1)).sum(dim=1) * of_rows).sum() / of_rows.sum().clamp_min(1)
            value = value + penalty / 2 * weights.square().sum()
            value.backward()
            return value

        optimizer.step(loss)  # type: ignore[no-untyped-call]
    return LinearHead(mean, deviation, weights.detach().numpy(), bias.detach().numpy(), multi_label)
