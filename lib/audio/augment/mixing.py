"""Addition of sounds as normalized spectrograms.

Sounds add up in power, not in decibels: levels become power, are added, and the sum becomes levels again.
"""

import torch
from torch import Tensor

from lib.config.schema import AudioSettings

MIX_DB = 12.0
"""A second sound, or background, is up to this many decibels softer than the first."""


def add_sounds(first: Tensor, second: Tensor, gain: Tensor, audio: AudioSettings) -> Tensor:
    """Normalized spectrogram of two sounds together.

    Args:
        first, second: (n, height, width) in 0..1, before db_power is applied.
        gain: (n,), factor of the second sound's power.
        audio: whether values are decibels (0..1 for top_db) or amplitudes.
    """
    total = _power(first, audio) + _power(second, audio) * gain[:, None, None]
    if not audio.decibels:
        levels = total.sqrt()
        return levels / levels.amax(dim=(1, 2), keepdim=True).clamp_min(1e-6)
    levels = 10 / audio.top_db * torch.log10(total.clamp_min(1e-30))
    scaled = (1 + levels - levels.amax(dim=(1, 2), keepdim=True)).clamp(0, 1)
    return torch.where(total > 0, scaled, 0.0)


def random_power_factors(x: Tensor) -> Tensor:
    """Factors of power (n,) for 0 to -MIX_DB decibels, uniform in decibels."""
    return 10 ** (-torch.rand(len(x), device=x.device) * MIX_DB / 10)


def _power(levels: Tensor, audio: AudioSettings) -> Tensor:
    if not audio.decibels:
        return levels.square()
    return torch.where(levels > 0, torch.pow(10.0, (levels - 1) * (audio.top_db / 10)), 0.0)
