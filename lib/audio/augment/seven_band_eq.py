"""Seven-band equalizer: other microphones, rooms and distances."""

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from lib.audio.augment import Batch, Transform, register
from lib.config.setting_values import Fraction

if TYPE_CHECKING:
    from torch import Tensor

BANDS = 7


class SevenBandEqualizer(Transform):
    """Seven bands between min_freq and max_freq get random gains.

    The centres of the bands are equally spaced on a logarithmic scale. Between them the gain, in decibels, is
    interpolated along that scale; beyond the first and the last it stays as there. Phases stay as they are.
    """

    domains = ("waveforms",)

    name: Literal["seven_band_eq"] = "seven_band_eq"
    probability: Fraction = Field(0.5, description="that a window is equalized")
    max_db: Annotated[float, Field(ge=0, le=40)] = Field(
        12.0, description="the gain of each band is up to this, either way"
    )

    def changed(self, x: "Tensor", batch: Batch) -> "Tensor":
        import torch

        from lib.audio.augment.tensors.fourier import spectrum_of, waveform_of

        audio, spectrum = batch.audio, spectrum_of(x)
        gains = (2 * torch.rand(len(x), BANDS, device=x.device) - 1) * self.max_db
        lowest = max(audio.min_freq, audio.max_freq / 1000)
        frequencies = torch.linspace(0, audio.sampling_rate / 2, spectrum.shape[1], device=x.device)
        bands = BANDS * (frequencies / lowest).log() / math.log(audio.max_freq / lowest) - 0.5  # whole at their centres
        distances = bands.clamp(0, BANDS - 1) - torch.arange(BANDS, device=x.device)[:, None]
        db = gains @ (1 - distances.abs()).clamp_min(0)
        return waveform_of(spectrum * 10 ** (db / 20), x.shape[1])


register("seven_band_eq", SevenBandEqualizer)
