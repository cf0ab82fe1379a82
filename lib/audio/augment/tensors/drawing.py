"""Random numbers for each window of a batch, from torch's generator of its device."""

from collections.abc import Sequence

import torch
from torch import Tensor


def uniform(x: Tensor, between: Sequence[float]) -> Tensor:
    """A number (n,) for each window of x, uniform between two."""
    low, high = between
    return low + (high - low) * torch.rand(len(x), device=x.device)


def spread(values: Tensor, x: Tensor) -> Tensor:
    """A value (n,) for each window of x, in a shape that broadcasts against x."""
    return values.view(-1, *[1] * (x.dim() - 1))
