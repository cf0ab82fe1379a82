import torch


def test_noise_has_the_deviation_that_is_set_as_a_share_of_the_range(augmented):
    x = torch.full((100, 32, 100), 5.0)
    x[:, 0, 0], x[:, 0, 1] = 3.0, 7.0  # images of some frontends are not in 0..1
    noisy, _ = augmented("white_noise", x, probability=1.0, deviation=[0.01, 0.05])
    deviation = (noisy - x)[:, 1:].std(dim=(1, 2)) / 4
    assert 0.009 < deviation.min() < 0.02 and 0.04 < deviation.max() < 0.051
    assert noisy.min() >= 3 and noisy.max() <= 7
