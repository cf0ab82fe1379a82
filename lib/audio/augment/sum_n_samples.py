"""Sums of several windows of a batch."""

from typing import Annotated, Literal

from pydantic import Field

from lib.audio.augment import Batch, Transform, register
from lib.config.setting_values import Fraction, NotNegative


class SumNSamples(Transform):
    """Other windows of the batch are added to a window."""

    name: Literal["sum_n_samples"] = "sum_n_samples"
    probability: Fraction = Field(0.5, description="that others are added to a window")
    n: Annotated[int, Field(ge=2, le=16)] = Field(3, description="windows in a sum")
    max_db: NotNegative = Field(12.0, description="each of the others is softer by up to that")

    domains = ("waveforms",)

    def __call__(self, batch: Batch) -> Batch:
        return sum_samples(batch, self.n, self.probability, self.max_db)


def sum_samples(batch: Batch, n: int, probability: float, max_db: float) -> Batch:
    """Add n - 1 other windows, each softer by up to max_db decibels, to each window with that probability."""
    import torch

    from lib.audio.augment.tensors.mixing import join_targets, matched, random_power_factors

    x, y = batch.x, batch.y
    hit = torch.rand(len(x), device=x.device) < probability
    mixed, targets, powers = x, [y], [torch.ones(len(x), device=x.device)]
    for _ in range(n - 1):
        other = torch.randperm(len(x), device=x.device)
        may = hit if batch.alone is None else hit & ~(batch.alone | batch.alone[other])
        gain = random_power_factors(x, max_db) * may
        mixed = mixed + matched(x[other], x, gain)
        targets.append(y[other])
        powers.append(gain)
    total = torch.stack(powers).sum(dim=0)
    shares = [power / total for power in powers]
    return batch._replace(x=mixed, y=join_targets(targets, shares, batch.multi_label))


register("sum_n_samples", SumNSamples)
