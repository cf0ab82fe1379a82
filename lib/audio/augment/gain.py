"""Gain: windows become louder or softer."""

import torch
from torch import Tensor

from lib.config.schema import AudioSettings


def random_gain(x: Tensor, max_db: float, audio: AudioSettings) -> Tensor:
    """Change the levels of each window (n, height, width) by up to max_db decibels, either way.

    Values beyond 0..1 are clipped, as in an overdriven or faint recording; silence stays silence.
    """
    db = (2 * torch.rand(len(x), 1, 1, device=x.device) - 1) * max_db
    if not audio.decibels:
        return (x * 10 ** (db / 20)).clamp(0, 1)
    return torch.where(x > 0, x + db / audio.top_db, x).clamp(0, 1)
