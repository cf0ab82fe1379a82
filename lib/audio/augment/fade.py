"""Fade: faint sounds."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from lib.audio.augment import Batch, Transform, register
from lib.config.setting_values import Fraction, Span

if TYPE_CHECKING:
    from torch import Tensor


class Fade(Transform):
    """Values shrink towards silence, which lowers their contrast; see gain for levels that all change alike."""

    domains = ("spectrograms",)

    name: Literal["fade"] = "fade"
    probability: Fraction = Field(0.3, description="that a window fades")
    factor: Span[Annotated[float, Field(gt=0, le=1)]] = Field([0.3, 1.0], description="[lowest, highest] factor")

    def changed(self, x: "Tensor", batch: Batch) -> "Tensor":
        from lib.audio.augment.tensors.drawing import spread, uniform

        return batch.silence + (x - batch.silence) * spread(uniform(x, self.factor), x)


register("fade", Fade)
