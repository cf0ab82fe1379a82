"""Masks of SpecAugment (Park et al., 2019), through torchaudio; they differ between windows."""

import torch
from torch import Tensor
from torchaudio.functional import mask_along_axis_iid


def masked(x: Tensor, longest: int, times: int) -> Tensor:
    """Where `times` masks of up to `longest` places lie in the last axis: bool (n, width) for x (n, ..., width)."""
    n, width = len(x), x.shape[-1]
    kept = torch.ones(n, 1, 1, width, device=x.device)
    for _ in range(times):
        kept = mask_along_axis_iid(kept, min(longest, width), 0.0, axis=3)
    return kept.view(n, width) == 0
