"""Random pixels: single points of a spectrogram are silenced."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from lib.audio.augment import Batch, Transform, register
from lib.config.setting_values import Fraction, Span

if TYPE_CHECKING:
    from torch import Tensor


class RandomPixels(Transform):
    """Single points of a spectrogram are silenced."""

    domains = ("spectrograms",)

    name: Literal["random_pixels"] = "random_pixels"
    probability: Fraction = Field(0.5, description="that a window loses points")
    share: Span[Fraction] = Field([0.0, 0.1], description="[lowest, highest] share of the points")

    def changed(self, x: "Tensor", batch: Batch) -> "Tensor":
        import torch

        from lib.audio.augment.tensors.drawing import spread, uniform

        hidden = torch.rand_like(x[:, :1]) < spread(uniform(x, self.share), x)
        return x.masked_fill(hidden, batch.silence)


register("random_pixels", RandomPixels)
