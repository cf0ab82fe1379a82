"""White noise on spectrograms: normal noise, independent at each point."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from lib.audio.augment import Batch, Transform, register
from lib.config.setting_values import Fraction, Span

if TYPE_CHECKING:
    from torch import Tensor


class WhiteNoise(Transform):
    """Normal noise is added to each point of a spectrogram. Values stay in the range that they had."""

    domains = ("spectrograms",)

    name: Literal["white_noise"] = "white_noise"
    probability: Fraction = Field(0.3, description="that a window gets noise")
    deviation: Span[Fraction] = Field(
        [0.02, 0.1], description="[lowest, highest] standard deviation, as a share of the range of the window's values"
    )

    def changed(self, x: "Tensor", batch: Batch) -> "Tensor":
        import torch

        from lib.audio.augment.tensors.drawing import spread, uniform

        low, high = x.amin(dim=(1, 2, 3), keepdim=True), x.amax(dim=(1, 2, 3), keepdim=True)
        deviation = spread(uniform(x, self.deviation), x) * (high - low)
        return (x + deviation * torch.randn_like(x)).clamp(low, high)


register("white_noise", WhiteNoise)
