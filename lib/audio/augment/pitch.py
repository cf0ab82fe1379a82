"""Pitch shift: sound becomes higher or lower while its tempo stays."""

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from lib.audio.augment import Batch, Transform, register
from lib.config.setting_values import Fraction

if TYPE_CHECKING:
    from torch import Tensor


class Pitch(Transform):
    """A window becomes higher or lower at the same tempo: it is resampled, then stretched back."""

    domains = ("waveforms",)

    name: Literal["pitch"] = "pitch"
    probability: Fraction = Field(0.5, description="that a window's pitch changes")
    semitones: Annotated[float, Field(ge=0, le=24)] = Field(2.0, description="by up to that, either way")

    def changed(self, x: "Tensor", batch: Batch) -> "Tensor":
        from lib.audio.augment.tensors.drawing import uniform

        return shift_pitch(x, 2 ** (uniform(x, (-self.semitones, self.semitones)) / 12), batch)


def shift_pitch(x: "Tensor", factors: "Tensor", batch: Batch) -> "Tensor":
    """Waveforms (n, samples) whose frequencies are multiplied by factors (n,)."""
    from lib.audio.augment.tensors.phase_vocoder import stretch
    from lib.audio.augment.tensors.resampling import resample

    longest = math.ceil(x.shape[1] / min(1.0, float(factors.min())))
    return stretch(resample(x, factors, longest), 1 / factors, x.shape[1], batch.audio)


register("pitch", Pitch)
