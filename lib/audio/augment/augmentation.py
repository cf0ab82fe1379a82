"""Augmentation in training: each kind has a module of its name; here they are applied one after the other.

They work on normalized spectrograms, a batch of tensors (n, height, width) at a time, on any device.
"""

from torch import Tensor

from lib.audio.augment.background_mix import background_mix
from lib.audio.augment.gain import random_gain
from lib.audio.augment.mixup import mixup
from lib.audio.augment.spec_augment import spec_augment
from lib.audio.augment.time_shift import time_shift
from lib.config.schema import AudioSettings, TrainSettings


class Augmentation:
    """What the settings ask for: time shift, mixup, background, gain, then SpecAugment's masks."""

    def __init__(self, settings: TrainSettings, audio: AudioSettings) -> None:
        self.settings, self.audio = settings, audio
        self.power = audio.db_power if audio.decibels else 1.0
        self.masks = spec_augment(settings, audio)

    def __call__(
        self, x: Tensor, y: Tensor, background: Tensor | None, alone: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Augmented spectrograms and targets of x (n, height, width) and y (n, n_classes).

        Args:
            background: as many spectrograms without any class, or None.
            alone: bool (n,), windows that are not mixed with others.
        """
        settings, audio = self.settings, self.audio
        x = time_shift(_to_power(x, 1 / self.power), settings.time_shift)  # what follows needs levels
        x, y = mixup(x, y, settings.mixup, settings.multi_label, audio, alone)
        if background is not None:
            x = background_mix(x, _to_power(background, 1 / self.power), settings.background_mix, audio)
        x = _to_power(random_gain(x, settings.gain_db, audio), self.power)
        return self.masks(x.unsqueeze(1)).squeeze(1), y


def _to_power(x: Tensor, power: float) -> Tensor:
    return x if power == 1 else x**power
