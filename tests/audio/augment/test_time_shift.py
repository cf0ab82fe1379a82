import pytest
import torch


@pytest.mark.parametrize("domain", ["batch", "sounds"])
def test_windows_are_rolled_by_different_amounts(domain, request, augmented):
    windows = request.getfixturevalue(domain)
    x = (windows() if domain == "batch" else windows)[0][..., :100]
    amounts = []
    for before, after in zip(x, augmented("time_shift", x)[0], strict=True):
        amounts += [k for k in range(100) if torch.equal(torch.roll(before, -k, dims=-1), after)]
    assert len(amounts) == len(x) and len(set(amounts)) > 3


def test_shifts_are_limited_either_way(batch, augmented):
    x = torch.cat([batch(seed)[0] for seed in range(5)])
    amounts = []
    for before, after in zip(x, augmented("time_shift", x, max_seconds=0.03)[0], strict=True):
        amounts += [k for k in range(-50, 50) if torch.equal(torch.roll(before, k, dims=-1), after)]
    assert set(amounts) == set(range(-3, 4))
