"""Mixup: Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018."""

import torch
from torch import Tensor

from lib.audio.augment.mixing import add_sounds, random_power_factors
from lib.config.schema import AudioSettings


def mixup(
    x: Tensor, y: Tensor, probability: float, multi_label: bool, audio: AudioSettings, alone: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Add to each window, with that probability, another one of the batch.

    Args:
        x, y: spectrograms (n, height, width) and targets (n, n_classes).
        probability: that a window is mixed.
        multi_label: the targets of both sounds hold in full, for both are heard; else each has its share.
        audio: see add_sounds.
        alone: bool (n,), windows that are not mixed with any other.
    """
    n = len(x)
    hit = torch.rand(n, device=x.device) < probability
    other = torch.randperm(n, device=x.device)
    if alone is not None:
        hit &= ~(alone | alone[other])
    if multi_label:
        gain = random_power_factors(x)
        targets = torch.maximum(y, y[other])
    else:
        share = torch.rand(n, device=x.device).clamp(0.02, 0.98)
        gain = (1 - share) / share
        targets = y * share[:, None] + y[other] * (1 - share)[:, None]
    mixed = add_sounds(x, x[other], gain, audio)
    return torch.where(hit[:, None, None], mixed, x), torch.where(hit[:, None], targets, y)
