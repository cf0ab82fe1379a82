"""Gain: windows become louder or softer."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from lib.audio.augment import Batch, Transform, register
from lib.config.setting_values import NotNegative

if TYPE_CHECKING:
    from torch import Tensor


class Gain(Transform):
    """Levels change alike. Values beyond the range are clipped, as in an overdriven or faint recording.

    Frontends that normalize windows (mfcc, multi, wavelet, waveform) show nothing of it but the clipping.
    """

    of_levels: ClassVar[bool] = True
    prefers_spectrograms: ClassVar[bool] = True

    name: Literal["gain"] = "gain"
    max_db: NotNegative = Field(6.0, description="levels change by up to this, either way")

    def changed(self, x: "Tensor", batch: Batch) -> "Tensor":
        import torch

        from lib.audio.augment.tensors.drawing import spread

        db = (2 * torch.rand(len(x), device=x.device) - 1) * self.max_db
        db = spread(db, x)
        if x.dim() == 2:
            return (x * 10 ** (db / 20)).clamp(-1, 1)
        if not batch.audio.decibels:
            return (x * 10 ** (db / 20)).clamp(0, 1)
        return torch.where(x > 0, x + db / batch.audio.top_db, x).clamp(0, 1)  # silence stays silence


register("gain", Gain)
