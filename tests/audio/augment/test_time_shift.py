import torch

from lib.audio.augment.time_shift import time_shift


def test_windows_are_rolled_by_different_amounts(batch):
    x, _ = batch()
    amounts = []
    for before, after in zip(x, time_shift(x, 1.0), strict=True):
        amounts += [k for k in range(100) if torch.equal(torch.roll(before, -k, dims=1), after)]
    assert len(amounts) == len(x) and len(set(amounts)) > 3
