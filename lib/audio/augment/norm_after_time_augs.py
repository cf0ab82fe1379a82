"""Loudness normalization: all windows become equally strong, after the other augmentations of waveforms."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from lib.audio.augment import Batch, Transform, register

if TYPE_CHECKING:
    from torch import Tensor


class LoudnessNormalization(Transform):
    """Windows get the same root mean square, after all other augmentations of waveforms.

    A window whose peaks would leave -1..1 stays softer, and silence stays silence. Networks that take spectrograms hear
    no difference, for the levels of these count from the loudest point of the window; it alone needs no extract.sound.
    """

    domains = ("waveforms",)
    is_last: ClassVar[bool] = True

    name: Literal["norm_after_time_augs"] = "norm_after_time_augs"
    level_db: Annotated[float, Field(ge=-80, le=0)] = Field(
        -20.0, description="root mean square, in decibels of full scale"
    )

    def changed(self, x: "Tensor", batch: Batch) -> "Tensor":
        import torch

        from lib.audio.augment.tensors.mixing import SILENCE, strength

        level = strength(x)
        factor = torch.where(level > SILENCE, 10 ** (self.level_db / 20) / level.clamp_min(SILENCE), 1.0)
        loudest = 1 / x.abs().amax(dim=1).clamp_min(SILENCE)
        return x * torch.minimum(factor, loudest)[:, None]


register("norm_after_time_augs", LoudnessNormalization)
