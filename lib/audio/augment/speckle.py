"""Speckle: noise in proportion to the values of a spectrogram."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from lib.audio.augment import Batch, Transform, register
from lib.config.setting_values import Fraction, Span

if TYPE_CHECKING:
    from torch import Tensor


class Speckle(Transform):
    """Each point of a spectrogram is multiplied by normal noise around 1. Values stay in the range that they had."""

    domains = ("spectrograms",)

    name: Literal["speckle"] = "speckle"
    probability: Fraction = Field(0.3, description="that a window gets speckles")
    deviation: Span[Fraction] = Field([0.05, 0.2], description="[lowest, highest] standard deviation of the factors")

    def changed(self, x: "Tensor", batch: Batch) -> "Tensor":
        import torch

        from lib.audio.augment.tensors.drawing import spread, uniform

        factors = 1 + spread(uniform(x, self.deviation), x) * torch.randn_like(x)
        return (x * factors).clamp(x.amin(dim=(1, 2, 3), keepdim=True), x.amax(dim=(1, 2, 3), keepdim=True))


register("speckle", Speckle)
