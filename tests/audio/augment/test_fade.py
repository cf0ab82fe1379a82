import torch


def test_values_shrink_by_one_factor_each_within_the_limits(batch, augmented):
    x = torch.cat([batch(seed)[0] for seed in range(10)])
    faded, _ = augmented("fade", x, probability=1.0, factor=[0.3, 0.9])
    factors = (faded / x).flatten(1)
    assert (factors.amax(dim=1) - factors.amin(dim=1)).max() < 1e-5
    assert 0.299 < factors.min() < 0.4 and 0.8 < factors.max() < 0.901
