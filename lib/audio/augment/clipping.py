"""Clipping: overdriven recordings."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from lib.audio.augment import Batch, Transform, register
from lib.config.setting_values import Fraction, Span

if TYPE_CHECKING:
    from torch import Tensor


class Clipping(Transform):
    """Peaks are cut off, as in a recording that was overdriven; then the sound is as loud as before at its peaks."""

    domains = ("waveforms",)

    name: Literal["clipping"] = "clipping"
    probability: Fraction = Field(0.3, description="that a window is clipped")
    drive_db: Span[Annotated[float, Field(ge=0, le=60)]] = Field(
        [3.0, 15.0], description="[lowest, highest] by which peaks exceed what can be recorded"
    )

    def changed(self, x: "Tensor", batch: Batch) -> "Tensor":
        from lib.audio.augment.tensors.drawing import uniform

        drive = 10 ** (uniform(x, self.drive_db)[:, None] / 20)
        peak = x.abs().amax(dim=1, keepdim=True)
        return (x * drive).clamp(-peak, peak)


register("clipping", Clipping)
