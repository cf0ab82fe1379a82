"""Background: windows without any class are laid under others."""

import torch
from torch import Tensor

from lib.audio.augment.mixing import add_sounds, random_power_factors
from lib.config.schema import AudioSettings


def background_mix(x: Tensor, background: Tensor, probability: float, audio: AudioSettings) -> Tensor:
    """Add to each window (n, height, width), with that probability, the background of the same index."""
    hit = torch.rand(len(x), device=x.device) < probability
    return torch.where(hit[:, None, None], add_sounds(x, background, random_power_factors(x), audio), x)
