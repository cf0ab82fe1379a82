"""Addition of sounds, as waveforms or as normalized spectrograms, and what becomes of their targets.

Sounds add up in power, not in decibels: levels become power, are added, and the sum becomes levels again.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from lib.audio.augment.tensors.drawing import spread
from lib.config.schema import AudioSettings

SILENCE = 1e-7
"""Root mean square below which a waveform is silent; 16-bit recordings are quantized at 3e-5."""


def add_sounds(first: Tensor, second: Tensor, gain: Tensor, audio: AudioSettings) -> Tensor:
    """Two sounds together, as waveforms (n, samples) or normalized spectrograms (n, channels, height, width) in 0..1.

    Args:
        first, second: spectrograms before db_power is applied. Their peaks count as equal, and waveforms are taken to
            be equally strong.
        gain: (n,), factor of the second sound's power.
        audio: whether values of spectrograms are decibels (0..1 for top_db) or amplitudes.
    """
    if first.dim() == 2:
        return first + matched(second, first, gain)
    axes = tuple(range(1, first.dim()))
    total = _power(first, audio) + _power(second, audio) * spread(gain, first)
    if not audio.decibels:
        levels = total.sqrt()
        return levels / levels.amax(dim=axes, keepdim=True).clamp_min(1e-6)
    levels = 10 / audio.top_db * torch.log10(total.clamp_min(1e-30))
    scaled = (1 + levels - levels.amax(dim=axes, keepdim=True)).clamp(0, 1)
    return torch.where(total > 0, scaled, 0.0)


def matched(x: Tensor, reference: Tensor, gain: Tensor) -> Tensor:
    """Waveforms (n, samples) made as strong as others, times a factor of power (n,); beside silence, as they are."""
    own, wanted = strength(x), strength(reference)
    level = torch.where(wanted > SILENCE, wanted, own)
    return x * (gain.sqrt() * level / own.clamp_min(SILENCE))[:, None]


def strength(x: Tensor) -> Tensor:
    """Root mean square (n,) of waveforms (n, samples)."""
    return x.square().mean(dim=1).sqrt()


def random_power_factors(x: Tensor, max_db: float) -> Tensor:
    """Factors of power (n,) for 0 to -max_db decibels, uniform in decibels."""
    return 10 ** (-torch.rand(len(x), device=x.device) * max_db / 10)


def add_noise(x: Tensor, noise: Tensor, snr_db: Tensor) -> Tensor:
    """Waveforms (n, samples) with noise of that signal-to-noise ratio (n,), in decibels; silence gets none."""
    factor = strength(x) / strength(noise).clamp_min(SILENCE) * 10 ** (-snr_db / 20)
    return x + noise * factor[:, None]


def join_targets(targets: Sequence[Tensor], shares: Sequence[Tensor], multi_label: bool) -> Tensor:
    """Targets (n, n_classes) of windows that hold several sounds.

    Args:
        targets: of each of the sounds, (n, n_classes).
        shares: of each of the sounds in a window, (n,), positive where it is in it; they add up to 1.
        multi_label: targets of all sounds hold in full, for all are heard; else each has its share.
    """
    if multi_label:
        present = [torch.where(share[:, None] > 0, y, 0) for y, share in zip(targets, shares, strict=True)]
        return torch.stack(present).amax(dim=0)
    return torch.stack([y * share[:, None] for y, share in zip(targets, shares, strict=True)]).sum(dim=0)


def _power(levels: Tensor, audio: AudioSettings) -> Tensor:
    if not audio.decibels:
        return levels.square()
    return torch.where(levels > 0, torch.pow(10.0, (levels - 1) * (audio.top_db / 10)), 0.0)
