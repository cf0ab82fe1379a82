"""Augmentation of normalized spectrograms, a batch of tensors (n, height, width) at a time, on any device.

Sounds add up in power, not in decibels: mixing turns levels back into power, adds, and turns the sum into levels again.
"""

from dataclasses import dataclass

import torch
import torchaudio
from torch import Tensor

from lib.config import Audio, Train

MIX_DB = 12.0
"""A second sound, or background, is laid under the first by up to this many decibels."""


@dataclass(frozen=True)
class Mixer:
    """Addition of normalized spectrograms, whose levels are decibels (0..1 for top_db) or amplitudes."""

    decibels: bool
    top_db: float

    def add(self, first: Tensor, second: Tensor, gain: Tensor) -> Tensor:
        """Normalized spectrogram of the first sound plus the second at `gain` (n,), a factor of its power."""
        total = self._power(first) + self._power(second) * gain[:, None, None]
        if not self.decibels:
            levels = total.sqrt()
            return levels / levels.amax(dim=(1, 2), keepdim=True).clamp_min(1e-6)
        levels = 10 / self.top_db * torch.log10(total.clamp_min(1e-30))
        scaled = (1 + levels - levels.amax(dim=(1, 2), keepdim=True)).clamp(0, 1)
        return torch.where(total > 0, scaled, 0.0)

    def _power(self, levels: Tensor) -> Tensor:
        if not self.decibels:
            return levels.square()
        return torch.where(levels > 0, torch.pow(10.0, (levels - 1) * (self.top_db / 10)), 0.0)


class Augmentation:
    """What training does to a batch: time shift, gain, mixup, background and SpecAugment masks.

    SpecAugment: Park et al., 2019, through torchaudio. Mixup: Zhang et al., 2018; with several labels a window, the
    label of both sounds holds in full, for both are heard.
    """

    def __init__(self, settings: Train, audio: Audio) -> None:
        self.settings, self.audio = settings, audio
        self.mixer = Mixer(audio.decibels, audio.top_db)
        self.power = audio.db_power if audio.decibels else 1.0  # sounds add up, and grow, before it is applied
        bands = min(settings.freq_mask_bands, audio.spec_height)
        frames = min(round(settings.time_mask_seconds * audio.frame_rate), audio.spec_width)
        self.masks = [
            *settings.freq_masks * [torchaudio.transforms.FrequencyMasking(bands, iid_masks=True)],
            *settings.time_masks * [torchaudio.transforms.TimeMasking(frames, iid_masks=True)],
        ]

    def __call__(
        self, x: Tensor, y: Tensor, background: Tensor | None, alone: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Augmented spectrograms and targets of x (n, height, width) and y (n, n_classes).

        background: as many spectrograms without any class, or None. alone: bool (n,), which are not mixed with others.
        """
        x, y = self._mixup(self._shift(_raised(x, 1 / self.power)), y, alone)
        if background is not None:
            background = _raised(background, 1 / self.power)
            hit = torch.rand(len(x), device=x.device) < self.settings.background_mix
            x = torch.where(hit[:, None, None], self.mixer.add(x, background, _gain_factor(x)), x)
        x = _raised(self._gain(x), self.power).unsqueeze(1)
        for mask in self.masks:
            x = mask(x)
        return x.squeeze(1), y

    def _shift(self, x: Tensor) -> Tensor:
        """Roll windows in time by a random part of their length."""
        n, height, width = x.shape
        hit = torch.rand(n, device=x.device) < self.settings.time_shift
        by = torch.randint(0, width, (n,), device=x.device) * hit
        frames = (torch.arange(width, device=x.device) + by[:, None]) % width
        return x.gather(2, frames[:, None].expand(n, height, width))

    def _gain(self, x: Tensor) -> Tensor:
        """Make windows louder or softer; what leaves the range 0..1 is cut, as in an overdriven or faint recording."""
        db = (2 * torch.rand(len(x), 1, 1, device=x.device) - 1) * self.settings.gain_db
        if not self.audio.decibels:
            return (x * 10 ** (db / 20)).clamp(0, 1)
        return torch.where(x > 0, x + db / self.audio.top_db, x).clamp(0, 1)

    def _mixup(self, x: Tensor, y: Tensor, alone: Tensor | None) -> tuple[Tensor, Tensor]:
        n = len(x)
        hit = torch.rand(n, device=x.device) < self.settings.mixup
        other = torch.randperm(n, device=x.device)
        if alone is not None:
            hit &= ~(alone | alone[other])
        if self.settings.multi_label:
            mixed = self.mixer.add(x, x[other], _gain_factor(x))
            targets = torch.maximum(y, y[other])
        else:
            share = torch.rand(n, device=x.device).clamp(0.02, 0.98)
            mixed = self.mixer.add(x, x[other], (1 - share) / share)
            targets = y * share[:, None] + y[other] * (1 - share)[:, None]
        return torch.where(hit[:, None, None], mixed, x), torch.where(hit[:, None], targets, y)


def _gain_factor(x: Tensor) -> Tensor:
    """Random factors of power (n,) that stand for 0 to -MIX_DB decibels."""
    return 10 ** (-torch.rand(len(x), device=x.device) * MIX_DB / 10)


def _raised(x: Tensor, power: float) -> Tensor:
    return x if power == 1 else x**power
