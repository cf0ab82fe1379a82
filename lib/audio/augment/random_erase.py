"""Random erasing: Zhong et al., "Random Erasing Data Augmentation", 2020."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from lib.audio.augment import Batch, Transform, register
from lib.config.setting_values import Fraction, Span

if TYPE_CHECKING:
    from torch import Tensor


class RandomErase(Transform):
    """A rectangle of a spectrogram is silenced."""

    domains = ("spectrograms",)

    name: Literal["random_erase"] = "random_erase"
    probability: Fraction = Field(0.5, description="that a window loses a rectangle")
    area: Span[Annotated[float, Field(gt=0, lt=1)]] = Field(
        [0.02, 0.2], description="[lowest, highest] share of the window"
    )
    aspect: Span[Annotated[float, Field(ge=0.01, le=100)]] = Field(
        [0.3, 3.3], description="[lowest, highest] ratio of its height, as a share of the window's, to its width"
    )

    def changed(self, x: "Tensor", batch: Batch) -> "Tensor":
        import torch

        from lib.audio.augment.tensors.drawing import uniform

        area = uniform(x, self.area)
        low, high = torch.tensor(self.aspect).log().tolist()
        aspect = uniform(x, (low, high)).exp()
        height = torch.minimum((area * aspect).sqrt(), area.new_ones(())).maximum(area)  # so that it fits in
        rows, columns = (_stretch(x, axis, share) for axis, share in ((2, height), (3, area / height)))
        return x.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], batch.silence)


def _stretch(x: "Tensor", axis: int, share: "Tensor") -> "Tensor":
    """Where a random stretch of an axis lies that has a share (n,) of its length: bool (n, length)."""
    import torch

    length = x.shape[axis]
    size = (share * length).round().clamp_min(1)
    start = (torch.rand(len(x), device=x.device) * (length - size + 1)).floor()
    places = torch.arange(length, device=x.device)
    return (places >= start[:, None]) & (places < (start + size)[:, None])


register("random_erase", RandomErase)
