"""Blur: sounds from afar, whose edges reverberation and air have softened."""

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from lib.audio.augment import Batch, Transform, register
from lib.config.setting_values import Fraction, Span

if TYPE_CHECKING:
    from torch import Tensor


class Blur(Transform):
    """A spectrogram is blurred by a Gaussian along frequency and time."""

    domains = ("spectrograms",)

    name: Literal["blur"] = "blur"
    probability: Fraction = Field(0.3, description="that a window is blurred")
    sigma: Span[Annotated[float, Field(gt=0, le=10)]] = Field(
        [0.3, 1.0], description="[lowest, highest] standard deviation, in bands and frames"
    )

    def changed(self, x: "Tensor", batch: Batch) -> "Tensor":
        import torch
        from torch.nn.functional import conv2d, pad

        from lib.audio.augment.tensors.drawing import uniform

        n, channels, height, width = x.shape
        reach = min(math.ceil(3 * self.sigma[1]), height - 1, width - 1)
        distance = torch.arange(-reach, reach + 1, device=x.device)
        kernels = torch.exp(-0.5 * (distance / uniform(x, self.sigma)[:, None]) ** 2)
        kernels = (kernels / kernels.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)
        padded = pad(x, (reach, reach, reach, reach), mode="replicate").flatten(0, 1)[None]  # each with its own kernel
        along_time = conv2d(padded, kernels[:, None, None], groups=n * channels)
        return conv2d(along_time, kernels[:, None, :, None], groups=n * channels).view_as(x)


register("blur", Blur)
