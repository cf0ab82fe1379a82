"""Concatenation of windows of a batch, as where one player hands over to the next."""

from typing import Annotated, Literal

from pydantic import Field

from lib.audio.augment import Batch, Transform, register
from lib.config.setting_values import Fraction


class ConcatNSamples(Transform):
    """A window becomes n parts of equal length, all but one from other windows of the batch.

    Labels are those of all windows that it has parts of, so it suits sounds that fill their windows.
    """

    domains = ("waveforms",)

    name: Literal["concat_n_samples"] = "concat_n_samples"
    probability: Fraction = Field(0.5, description="that a window is put together from several")
    n: Annotated[int, Field(ge=2, le=16)] = Field(3, description="parts of a window")

    def __call__(self, batch: Batch) -> Batch:
        import torch

        from lib.audio.augment.tensors.mixing import join_targets

        x, y = batch.x, batch.y
        own = torch.arange(len(x), device=x.device)
        hit = torch.rand(len(x), device=x.device) < self.probability
        kept = torch.randint(self.n, (len(x),), device=x.device)  # the part that stays
        ends = [round(x.shape[1] * (part + 1) / self.n) for part in range(self.n)]
        parts, targets = [], []
        for part, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
            other = torch.randperm(len(x), device=x.device)
            stays = ~hit | (kept == part)
            if batch.alone is not None:
                stays |= batch.alone | batch.alone[other]
            source = torch.where(stays, own, other)
            parts.append(x[source, start:end])
            targets.append(y[source])
        shares = [torch.full((len(x),), 1 / self.n, device=x.device)] * self.n
        return batch._replace(x=torch.cat(parts, dim=1), y=join_targets(targets, shares, batch.multi_label))


register("concat_n_samples", ConcatNSamples)
