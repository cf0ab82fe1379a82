"""Augmentation in training: what the settings list, one after the other, a batch of tensors at a time."""

from typing import TYPE_CHECKING

from lib.audio.augment import Batch, Transform, unusable
from lib.config.schema import AudioSettings, TrainSettings

if TYPE_CHECKING:
    from torch import Tensor


class Augmentation:
    """What train.augmentations lists: first what works on waveforms, then what works on spectrograms.

    Args:
        settings: of the training.
        audio: how sound is sampled and becomes spectrograms.
        from_sound: training has waveforms in any case, since the network's frontend takes these.
        has_images: the frontend makes images, on which augmentations of spectrograms work.
        silence: what such images are where there is no sound.

    Raises SettingsError if an augmentation cannot be used.

    Attributes:
        needs_sound: whether batches must be waveforms: then call on_waveforms and, once they are spectrograms,
            on_spectrograms; else only the latter.
        needs_background: whether batches need as many windows without any class.
    """

    def __init__(
        self,
        settings: TrainSettings,
        audio: AudioSettings,
        from_sound: bool = False,
        has_images: bool = True,
        silence: float = 0.0,
    ) -> None:
        listed: list[Transform] = settings.augmentations  # type: ignore[assignment]
        self.needs_sound = from_sound or any(each.domains == ("waveforms",) and not each.is_last for each in listed)
        self.needs_background = any(transform.needs_background for transform in listed)
        self._of_waveforms = [
            each
            for each in listed
            if self.needs_sound and "waveforms" in each.domains and (from_sound or not each.prefers_spectrograms)
        ]
        self._of_waveforms.sort(key=lambda transform: transform.is_last)
        self._of_spectrograms = [
            each for each in listed if "spectrograms" in each.domains and each not in self._of_waveforms
        ]
        if not has_images and self._of_spectrograms:
            fault, remedy = "works on images, of which train.frontend makes none", "remove it from the list"
            raise unusable(self._of_spectrograms[0], fault, remedy)
        self._prepared = {transform.name: transform.prepare(audio) for transform in listed}
        self._audio, self._multi_label, self._silence = audio, settings.multi_label, silence
        self._power = audio.db_power if audio.decibels else 1.0

    def on_waveforms(
        self, x: "Tensor", y: "Tensor", background: "Tensor | None", alone: "Tensor | None" = None
    ) -> "tuple[Tensor, Tensor]":
        """Augmented waveforms and targets of x (n, samples) and y (n, n_classes).

        Args:
            background: as many waveforms without any class, or None.
            alone: bool (n,), windows that are not mixed with others.
        """
        batch = Batch(x, y, background, alone, self._audio, self._multi_label, prepared=self._prepared)
        for transform in self._of_waveforms:
            batch = transform(batch)
        return batch.x, batch.y

    def on_spectrograms(
        self, x: "Tensor", y: "Tensor", background: "Tensor | None", alone: "Tensor | None" = None
    ) -> "tuple[Tensor, Tensor]":
        """Augmented spectrograms and targets of x (n, height, width), or images (n, channels, height, width), and y.

        For the other arguments see on_waveforms; without waveforms, background is as x.
        """
        if x.dim() == 3:
            images, targets = self.on_spectrograms(
                x.unsqueeze(1), y, None if background is None else background.unsqueeze(1), alone
            )
            return images.squeeze(1), targets
        batch = Batch(x, y, background, alone, self._audio, self._multi_label, self._silence, self._prepared)
        is_of_levels = False
        for transform in self._of_spectrograms:
            if transform.of_levels != is_of_levels:
                is_of_levels = transform.of_levels
                batch = self._raised(batch, 1 / self._power if is_of_levels else self._power)
            batch = transform(batch)
        batch = self._raised(batch, self._power) if is_of_levels else batch
        return batch.x, batch.y

    def _raised(self, batch: Batch, power: float) -> Batch:
        """A batch whose spectrograms are raised to a power: db_power is taken back, or applied."""
        if power == 1:
            return batch
        background = None if batch.background is None else batch.background**power
        return batch._replace(x=batch.x**power, background=background)
