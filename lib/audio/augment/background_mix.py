"""Background: windows without any class are laid under others."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from lib.audio.augment import Batch, Transform, register
from lib.config.setting_values import Fraction, NotNegative

if TYPE_CHECKING:
    from torch import Tensor


class BackgroundMix(Transform):
    """A background window of the training data is laid under, as loud as the window or softer."""

    of_levels: ClassVar[bool] = True

    name: Literal["background_mix"] = "background_mix"
    probability: Fraction = Field(0.3, description="that a window is mixed with a background window")
    max_db: NotNegative = Field(12.0, description="the background is softer by up to that")

    @property
    def needs_background(self) -> bool:
        return self.probability > 0

    def changed(self, x: "Tensor", batch: Batch) -> "Tensor":
        from lib.audio.augment.tensors.mixing import add_sounds, random_power_factors

        assert batch.background is not None
        background = batch.background[: len(x)]  # each is random
        return add_sounds(x, background, random_power_factors(x, self.max_db), batch.audio)


register("background_mix", BackgroundMix)
