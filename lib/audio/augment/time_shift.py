"""Time shift: windows are rolled in time."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from lib.audio.augment import Batch, Transform, register
from lib.config.setting_values import Maybe, Positive

if TYPE_CHECKING:
    from torch import Tensor


class TimeShift(Transform):
    """A window is rolled in time: what leaves it at one end comes in at the other."""

    name: Literal["time_shift"] = "time_shift"
    max_seconds: Maybe[Positive] = Field(
        None, description="by up to that, either way; empty: by any part of the window"
    )

    def changed(self, x: "Tensor", batch: Batch) -> "Tensor":
        import torch

        low, high = 0, x.shape[-1]
        if self.max_seconds is not None:
            most = min(round(self.max_seconds * batch.points_per_second), x.shape[-1])
            low, high = -most, most + 1
        shifts = torch.randint(low, high, (len(x),), device=x.device).tolist()
        return torch.stack([window.roll(shift, -1) for window, shift in zip(x, shifts, strict=True)])


register("time_shift", TimeShift)
