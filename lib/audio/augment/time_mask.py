"""Time masks: a part of a window is silenced (SpecAugment, Park et al., 2019)."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from lib.audio.augment import Batch, Transform, register
from lib.config.setting_values import NotNegative, Whole

if TYPE_CHECKING:
    from torch import Tensor


class TimeMask(Transform):
    """Parts of a window are silenced."""

    prefers_spectrograms: ClassVar[bool] = True

    name: Literal["time_mask"] = "time_mask"
    masks: Whole = Field(1, description="number of masks")
    seconds: NotNegative = Field(0.4, description="most seconds of a mask")

    def changed(self, x: "Tensor", batch: Batch) -> "Tensor":
        from lib.audio.augment.tensors.masking import masked

        mask = masked(x, round(self.seconds * batch.points_per_second), self.masks)
        return x.masked_fill(mask.view(len(x), *[1] * (x.dim() - 2), -1), batch.silence)


register("time_mask", TimeMask)
