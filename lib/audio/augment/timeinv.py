"""Time inversion: sound is played backwards."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from lib.audio.augment import Batch, Transform, register
from lib.config.setting_values import Fraction

if TYPE_CHECKING:
    from torch import Tensor


class TimeInversion(Transform):
    """A window is played backwards."""

    name: Literal["timeinv"] = "timeinv"
    probability: Fraction = Field(0.5, description="that a window is played backwards")

    def changed(self, x: "Tensor", batch: Batch) -> "Tensor":
        return x.flip(-1)


register("timeinv", TimeInversion)
