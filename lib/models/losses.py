"""Losses of windows, and of frames by way of their pooled logits; LOSSES registers them by name."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.models.heads import mean_probability


class LossKind(NamedTuple):
    """What a loss does besides cross-entropy.

    Args:
        is_focal: whether it attends to what is hard.
        has_pos_weights: whether windows with a rare class count more for it.
        has_families: whether the families of classes are learnt, too.
    """

    is_focal: bool = False
    has_pos_weights: bool = False
    has_families: bool = False


LOSSES = {
    "cross_entropy": LossKind(),
    "cross_entropy_pos_weight": LossKind(has_pos_weights=True),
    "focal_loss": LossKind(is_focal=True),
    "focal_loss_pos_weight": LossKind(is_focal=True, has_pos_weights=True),
    "family_loss": LossKind(has_families=True),
}
"""By the name that train.loss has."""


def classification_loss(
    logits: Tensor,
    targets: Tensor,
    multi_label: bool,
    pos_smoothing: float = 0.0,
    neg_smoothing: float = 0.0,
    class_weights: Tensor | None = None,
    pos_weights: Tensor | None = None,
    focal_gamma: float = 0.0,
    families: Tensor | None = None,
) -> Tensor:
    """Mean loss of logits (n, n_classes) against targets in 0..1 of the same shape.

    With multi_label, the binary cross-entropy of each class, targets t smoothed to t (1 - pos) + (1 - t) neg. Without,
    the cross-entropy over the classes, the share pos of the target spread evenly over all of them (Szegedy et al.,
    Rethinking the Inception Architecture, 2016); neg is ignored, and windows without any class have no weight.

    Args:
        class_weights: (n_classes,), weight of each class; None: all are equal.
        pos_weights: (n_classes,), weight of a class where it is present; None: 1.
        focal_gamma: above 0, what is recognized with probability q counts (1 - q) ** focal_gamma as much (Lin et al.,
            Focal Loss for Dense Object Detection, 2017).
        families: 0 and 1 (n_classes, n_families), which class is of which family; the loss is then the mean of that of
            the classes and that of the families, one of which is present where any of its classes is. The probability
            of a family is that of any of its classes, taken as independent, 1 - prod(1 - p), or without multi_label
            their sum.
    """
    if families is not None:
        options = pos_smoothing, neg_smoothing, class_weights, pos_weights, focal_gamma
        of_classes = classification_loss(logits, targets, multi_label, *options)
        return (of_classes + _family_loss(logits, targets, multi_label, families)) / 2
    if multi_label:
        smoothed = targets * (1 - pos_smoothing) + (1 - targets) * neg_smoothing
        if not focal_gamma:
            return F.binary_cross_entropy_with_logits(logits, smoothed, class_weights, pos_weight=pos_weights)
        scores = logits.sigmoid()
        missed = targets * (1 - scores) + (1 - targets) * scores
        each = F.binary_cross_entropy_with_logits(
            logits, smoothed, class_weights, pos_weight=pos_weights, reduction="none"
        )
        return (each * missed**focal_gamma).mean()
    factors: Any = 1
    for weights_of_classes in (class_weights, pos_weights):
        factors = factors if weights_of_classes is None else factors * weights_of_classes
    share = targets.sum(dim=1, keepdim=True) * pos_smoothing / targets.shape[1]
    smoothed = (targets * (1 - pos_smoothing) + share) * factors
    log_scores = F.log_softmax(logits, dim=1)
    if focal_gamma:
        smoothed = smoothed * (1 - log_scores.exp()) ** focal_gamma
    return -(smoothed * log_scores).sum() / (targets * factors).sum().clamp_min(1e-6)


def _family_loss(logits: Tensor, targets: Tensor, multi_label: bool, families: Tensor) -> Tensor:
    """The cross-entropy of families, see classification_loss."""
    members = families.bool()
    if not multi_label:
        log_scores = F.log_softmax(logits, dim=1)[:, :, None].masked_fill(~members, -torch.inf).logsumexp(dim=1)
        return -(targets @ families * log_scores).sum() / targets.sum().clamp_min(1e-6)
    present = (targets[:, :, None] * families).amax(dim=1)
    log_absent = F.logsigmoid(-logits) @ families
    log_present = torch.log(-torch.expm1(log_absent.clamp_max(-1e-6)))
    return -(present * log_present + (1 - present) * log_absent).mean()


def membership(categories: Sequence[str]) -> Tensor:
    """Which class is of which family, float (n_classes, n_families), by the family of each class."""
    names = sorted(set(categories))
    return torch.tensor([[float(name == category) for name in names] for category in categories])


def weigh_presence(counts: Tensor, n_windows: int) -> Tensor:
    """Weight of each class where it is present: windows without it for each one with it, counts (n_classes,)."""
    return (n_windows - counts).clamp_min(1) / counts.clamp_min(1)


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
