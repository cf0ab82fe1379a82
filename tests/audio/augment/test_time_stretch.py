import torch

from tests.audio.augment.listening import dominant_frequency, tones


def test_speeds_differ_within_the_limits_and_pitch_stays(augmented):
    x = tones(*[500.0] * 40)
    x[:, :3900] = 0  # an onset, whose time tells the speed
    stretched, _ = augmented("time_stretch", x, probability=1.0, factors=[0.8, 1.5])
    torch.testing.assert_close(dominant_frequency(stretched), torch.full((40,), 500.0), rtol=0.01, atol=0)
    onsets = (stretched.abs() > 0.15).float().argmax(dim=1)
    speeds = 3900 / onsets
    assert 0.77 < speeds.min() < 0.95 and 1.3 < speeds.max() < 1.56
