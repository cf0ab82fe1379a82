import pytest
import torch

from lib.audio.augment.tensors.resampling import resample
from tests.audio.augment.listening import dominant_frequency, strength_db, tones


@pytest.mark.parametrize("speed", [0.5, 0.9, 1.0, 1.06, 2.0])
def test_tones_become_that_much_higher_and_nothing_else_is_heard(speed):
    x = tones(300.0, 1000.0, 1700.0)
    played = resample(x, torch.full((3,), speed), 4000)
    expected = torch.tensor([300.0, 1000.0, 1700.0]) * speed
    torch.testing.assert_close(dominant_frequency(played), expected, rtol=0.001, atol=0)
    ideal = tones(*expected.tolist())[:, :4000]
    error = strength_db((played - ideal)[:, 100:3900]) - strength_db(ideal)
    assert error.max() < -25


def test_frequencies_that_leave_the_band_are_removed():
    played = resample(tones(2500.0, 3500.0), torch.full((2,), 2.0), 3900)
    assert strength_db(played[:, 100:3800]).max() < -50


def test_speed_one_gives_back_the_sound_and_its_end_is_followed_by_silence():
    torch.manual_seed(1)
    x = torch.fft.irfft(torch.fft.rfft(torch.randn(3, 1000))[:, :500], n=1000)  # nothing at half of the sampling rate
    played = resample(x, torch.ones(3), 1500)
    torch.testing.assert_close(played[:, :1000], x, atol=1e-4, rtol=0)
    assert not played[:, 1000:].any()


def test_sound_is_as_exact_late_in_a_long_window_as_at_its_start():
    speed = torch.tensor([0.7])
    turns = 2 * torch.pi * 700 / 8000 * torch.arange(2_000_000, dtype=torch.float64)
    played = resample(turns.sin().float()[None], speed, len(turns))[0]
    error = (played - (turns * speed.double()).sin()).abs()
    assert error[-10_000:].max() < 2 * error[1000:11_000].max()
