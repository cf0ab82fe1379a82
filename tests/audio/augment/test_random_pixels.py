import torch


def test_points_are_lost_in_the_share_that_is_set(augmented):
    lost = (augmented("random_pixels", torch.ones(100, 64, 100), probability=1.0, share=[0.02, 0.1])[0] == 0).float()
    shares = lost.mean(dim=(1, 2))
    assert 0.015 < shares.min() < 0.04 and 0.08 < shares.max() < 0.105
    assert lost.mean(dim=(0, 1)).max() < 0.1 and lost.mean(dim=(0, 2)).max() < 0.1  # everywhere alike


def test_all_channels_lose_the_same(augmented):
    lost, _ = augmented("random_pixels", torch.ones(5, 3, 24, 100), probability=1.0)
    assert (lost == lost[:, :1]).all() and (lost == 0).any()
