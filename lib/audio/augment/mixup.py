"""Mixup: Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018; of sounds, which add up in power."""

from typing import ClassVar, Literal

from pydantic import Field

from lib.audio.augment import Batch, Transform, register
from lib.config.setting_values import Fraction, NotNegative


class Mixup(Transform):
    """Another window of the batch is added."""

    of_levels: ClassVar[bool] = True

    name: Literal["mixup"] = "mixup"
    probability: Fraction = Field(0.5, description="that a window is mixed with another")
    max_db: NotNegative = Field(12.0, description="with multi_label the other is softer by up to that")

    def __call__(self, batch: Batch) -> Batch:
        import torch

        from lib.audio.augment.tensors.drawing import spread
        from lib.audio.augment.tensors.mixing import add_sounds, random_power_factors

        x, y = batch.x, batch.y
        hit = torch.rand(len(x), device=x.device) < self.probability
        other = torch.randperm(len(x), device=x.device)
        if batch.alone is not None:
            hit &= ~(batch.alone | batch.alone[other])
        if batch.multi_label:
            gain = random_power_factors(x, self.max_db)
            targets = torch.maximum(y, y[other])
        else:
            share = torch.rand(len(x), device=x.device).clamp(0.02, 0.98)
            gain = (1 - share) / share
            targets = y * share[:, None] + y[other] * (1 - share)[:, None]
        mixed = add_sounds(x, x[other], gain, batch.audio)
        return batch._replace(x=torch.where(spread(hit, x), mixed, x), y=torch.where(hit[:, None], targets, y))


register("mixup", Mixup)
