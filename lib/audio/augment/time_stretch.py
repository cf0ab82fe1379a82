"""Time stretch: sound becomes faster or slower while its pitch stays."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from lib.audio.augment import Batch, Transform, register
from lib.config.setting_values import Fraction, Span

if TYPE_CHECKING:
    from torch import Tensor


class TimeStretch(Transform):
    """A window is played faster or slower at the same pitch. What no longer fits in is lost, and a gap is filled by the
    window's beginning."""

    domains = ("waveforms",)

    name: Literal["time_stretch"] = "time_stretch"
    probability: Fraction = Field(0.5, description="that a window is stretched")
    factors: Span[Annotated[float, Field(ge=0.25, le=4)]] = Field(
        [0.9, 1.1], description="[lowest, highest] speed: 1.1 is 10 % faster"
    )

    def changed(self, x: "Tensor", batch: Batch) -> "Tensor":
        from lib.audio.augment.tensors.drawing import uniform
        from lib.audio.augment.tensors.phase_vocoder import stretch

        return stretch(x, uniform(x, self.factors), x.shape[1], batch.audio)


register("time_stretch", TimeStretch)
