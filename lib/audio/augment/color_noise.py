"""Colored noise: white, pink, brown, blue or violet, and all between."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from lib.audio.augment import Batch, Transform, register
from lib.config.setting_values import Fraction, Span

if TYPE_CHECKING:
    from torch import Tensor


class ColorNoise(Transform):
    """Noise is added whose power falls with frequency as 1 / f^exponent, by 3 exponent decibels an octave.

    Below min_freq it is as strong as there.
    """

    domains = ("waveforms",)

    name: Literal["color_noise"] = "color_noise"
    probability: Fraction = Field(0.5, description="that a window gets noise")
    exponent: Span[Annotated[float, Field(ge=-2, le=2)]] = Field(
        [-1.0, 2.0], description="[lowest, highest] exponent: 2 brown, 1 pink, 0 white, -1 blue, -2 violet noise"
    )
    snr_db: Span[Annotated[float, Field(ge=-40, le=80)]] = Field(
        [5.0, 30.0], description="[lowest, highest] signal-to-noise ratio"
    )

    def changed(self, x: "Tensor", batch: Batch) -> "Tensor":

        from lib.audio.augment.tensors.drawing import uniform
        from lib.audio.augment.tensors.mixing import add_noise

        noise = colored_noise(x, uniform(x, self.exponent), batch.audio.sampling_rate, batch.audio.min_freq)
        return add_noise(x, noise, uniform(x, self.snr_db))


def colored_noise(x: "Tensor", exponents: "Tensor", sampling_rate: float, min_freq: float) -> "Tensor":
    """Noise of the shape of x (n, samples), each with a spectrum of its exponent (n,); of any strength."""
    import torch

    from lib.audio.augment.tensors.fourier import fast_length, spectrum_of, waveform_of

    spectrum = spectrum_of(torch.randn(len(x), fast_length(x.shape[1]), device=x.device))
    frequencies = torch.linspace(0, sampling_rate / 2, spectrum.shape[1], device=x.device)
    relative = frequencies.clamp_min(max(min_freq, sampling_rate / x.shape[1])) * (2 / sampling_rate)
    return waveform_of(spectrum * relative ** (-exponents[:, None] / 2), x.shape[1])


register("color_noise", ColorNoise)
