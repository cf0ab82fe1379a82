"""Losses: binary or categorical cross-entropy of windows, and of frames by way of their pooled logits."""

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.models.heads import mean_probability


def classification_loss(
    logits: Tensor,
    targets: Tensor,
    multi_label: bool,
    pos_smoothing: float = 0.0,
    neg_smoothing: float = 0.0,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Mean loss of logits (n, n_classes) against targets in 0..1 of the same shape.

    With multi_label, the binary cross-entropy of each class, targets t smoothed to t (1 - pos) + (1 - t) neg. Without,
    the cross-entropy over the classes, the share pos of the target spread evenly over all of them (Szegedy et al.,
    Rethinking the Inception Architecture, 2016); neg is ignored, and windows without any class have no weight.

    class_weights: (n_classes,), weight of each class; None: all are equal.
    """
    if multi_label:
        smoothed = targets * (1 - pos_smoothing) + (1 - targets) * neg_smoothing
        return F.binary_cross_entropy_with_logits(logits, smoothed, weight=class_weights)
    weights = 1 if class_weights is None else class_weights
    share = targets.sum(dim=1, keepdim=True) * pos_smoothing / targets.shape[1]
    smoothed = (targets * (1 - pos_smoothing) + share) * weights
    return -(smoothed * F.log_softmax(logits, dim=1)).sum() / (targets * weights).sum().clamp_min(1e-6)


def recognition_loss(
    logits: Tensor, frame_logits: Tensor | None, targets: Tensor, multi_label: bool, frame_loss_weight: float, **options
) -> Tensor:
    """classification_loss of windows, and of their pooled frames with the share frame_loss_weight of the sum.

    logits: (n, n_classes). frame_logits: (n, n_classes, n_frames); None: windows alone count. options: of
    classification_loss.
    """
    loss = classification_loss(logits, targets, multi_label, **options)
    if frame_logits is None:
        return loss
    of_frames = classification_loss(pool_frames(frame_logits), targets, multi_label, **options)
    return (1 - frame_loss_weight) * loss + frame_loss_weight * of_frames


def pool_frames(frame_logits: Tensor) -> Tensor:
    """Logits (n, n_classes) of windows from those of frames (n, n_classes, n_frames), by linear softmax.

    Each frame is weighted by its probability, sum p^2 / sum p: training pushes frames of a window with the class to
    either side, which locates sounds (Wang, Li and Metze, A Comparison of Five Multiple Instance Learning Pooling
    Functions for Sound Event Detection with Weak Labeling, 2019).
    """
    weights = F.logsigmoid(frame_logits)
    return mean_probability(frame_logits, weights - torch.logsumexp(weights, dim=2, keepdim=True))


def weigh_classes(counts: Tensor, exponent: float) -> Tensor | None:
    """Weight of each class by its number of windows, counts (n_classes,): (mean count / count) ** exponent.

    Exponent 1 gives scikit-learn's "balanced" weights, 0 None. A class without windows is counted as having one.
    """
    return (counts.float().mean() / counts.clamp_min(1)) ** exponent if exponent else None
