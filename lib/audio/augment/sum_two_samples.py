"""Sums of two windows of a batch."""

from typing import Literal

from pydantic import Field

from lib.audio.augment import Batch, Transform, register
from lib.audio.augment.sum_n_samples import sum_samples
from lib.config.setting_values import Fraction, NotNegative


class SumTwoSamples(Transform):
    """Another window of the batch is added to a window."""

    name: Literal["sum_two_samples"] = "sum_two_samples"
    probability: Fraction = Field(0.5, description="that another is added to a window")
    max_db: NotNegative = Field(12.0, description="the other is softer by up to that")

    domains = ("waveforms",)

    def __call__(self, batch: Batch) -> Batch:
        return sum_samples(batch, 2, self.probability, self.max_db)


register("sum_two_samples", SumTwoSamples)
