import torch


def test_noise_is_in_proportion_to_the_values(augmented):
    x = torch.cat([torch.full((100, 16, 100), level) for level in (0.0, 0.25, 0.5)], dim=1)
    x[:, 0, 0] = 1.0
    noisy, _ = augmented("speckle", x, probability=1.0, deviation=[0.05, 0.2])
    quiet, loud = ((noisy - x)[:, rows].std(dim=(1, 2)) for rows in (slice(16, 32), slice(32, 48)))
    torch.testing.assert_close(loud / quiet, torch.full((100,), 2.0), atol=0.15, rtol=0)
    assert (loud / 0.5).min() > 0.045 and (loud / 0.5).max() < 0.21
    assert not noisy[:, 1:16].any() and noisy.max() <= 1
