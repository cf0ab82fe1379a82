import torch


def test_the_share_of_windows_that_get_a_background_is_the_probability(batch, augmented):
    x = torch.cat([batch(seed)[0] for seed in range(40)])
    mixed, _ = augmented("background_mix", x, background=x.flip(0), probability=0.3)
    assert 0.22 < (mixed != x).any(dim=2).any(dim=1).float().mean() < 0.38


def test_waveforms_get_a_background_that_is_no_louder_than_they_are(sounds, augmented):
    x, _ = sounds
    mixed, _ = augmented("background_mix", x, background=torch.randn_like(x), probability=1.0, max_db=10.0)
    ratio = 20 * torch.log10((mixed - x).square().mean(dim=1).sqrt() / x.square().mean(dim=1).sqrt())
    assert -10.01 < ratio.min() < -5 and -5 < ratio.max() < 0.01


def test_without_background_windows_stay(sounds, augmented):
    assert augmented("background_mix", sounds[0], probability=1.0)[0] is sounds[0]
