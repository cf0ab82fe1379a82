import torch

from tests.audio.augment.listening import strength_db, tones


def test_windows_become_equally_strong_and_none_overdriven(augmented):
    x = tones(300.0, 400.0, 500.0, 600.0) * torch.tensor([0.01, 0.1, 1.0, 3.0])[:, None]
    x[3, 10] = 30.0  # a click
    normalized, _ = augmented("norm_after_time_augs", x, level_db=-23.0)
    torch.testing.assert_close(strength_db(normalized)[:3], torch.full((3,), -23.0), atol=0.01, rtol=0)
    assert normalized.abs().max() <= 1 + 1e-6 and strength_db(normalized)[3] < -30


def test_silence_stays_silence(augmented):
    assert not augmented("norm_after_time_augs", torch.zeros(2, 100))[0].any()
