import torch

from lib.audio.augment.background_mix import background_mix


def test_the_share_of_windows_that_get_a_background_is_the_probability(audio, batch):
    x = torch.cat([batch(seed)[0] for seed in range(40)])
    mixed = background_mix(x, x.flip(0), 0.3, audio)
    assert 0.22 < (mixed != x).any(dim=2).any(dim=1).float().mean() < 0.38
