"""Time shift: windows are rolled in time."""

import torch
from torch import Tensor


def time_shift(x: Tensor, probability: float) -> Tensor:
    """Roll windows (n, height, width), each with that probability, by a random part of their length."""
    n, height, width = x.shape
    hit = torch.rand(n, device=x.device) < probability
    by = torch.randint(0, width, (n,), device=x.device) * hit
    frames = (torch.arange(width, device=x.device) + by[:, None]) % width
    return x.gather(2, frames[:, None].expand(n, height, width))
