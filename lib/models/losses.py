"""What training minimizes."""

import torch.nn.functional as F
from torch import Tensor


def classification_loss(logits: Tensor, targets: Tensor, multi_label: bool, smoothing: float = 0.0) -> Tensor:
    """Mean loss of logits (n, n_classes) against targets in 0..1 of the same shape.

    multi_label: binary cross-entropy for each class, targets t smoothed to t (1 - 2 s) + s; else cross-entropy over the
    classes, smoothed as in Szegedy et al., Rethinking the Inception Architecture, 2016. Windows without any class carry
    no weight in the latter.
    """
    if multi_label:
        return F.binary_cross_entropy_with_logits(logits, targets * (1 - 2 * smoothing) + smoothing)
    n_classes = targets.shape[1]
    weight = targets.sum(dim=1, keepdim=True)
    smoothed = targets * (1 - smoothing) + weight * smoothing / n_classes
    return -(smoothed * F.log_softmax(logits, dim=1)).sum() / weight.sum().clamp_min(1e-6)
