import numpy as np
import pytest
import torch

from lib.audio.augment.color_noise import colored_noise
from tests.audio.augment.listening import band_power, strength_db, tones


@pytest.mark.parametrize("exponent", [-2.0, -1.0, 0.0, 1.0, 2.0])
def test_power_falls_by_three_decibels_an_octave_times_the_exponent(exponent):
    torch.manual_seed(1)
    noise = colored_noise(torch.zeros(20, 8000), torch.full((20,), exponent), 8000, 50.0)
    octaves = [62.5 * 2**k for k in range(6)]
    density = [float(10 * torch.log10(band_power(noise, f, 2 * f).mean() / f)) for f in octaves]
    assert np.polyfit(range(6), density, 1)[0] == pytest.approx(-3.01 * exponent, abs=0.2)


def test_noise_has_the_ratio_that_is_set_and_each_window_its_own_color(augmented):
    x = tones(*[500.0] * 40)
    noisy, _ = augmented("color_noise", x, probability=1.0, snr_db=[5.0, 25.0])
    snr = strength_db(x) - strength_db(noisy - x)
    assert 4.9 < snr.min() < 10 and 20 < snr.max() < 25.1
    slopes = 10 * torch.log10(band_power(noisy - x, 100, 200) / band_power(noisy - x, 1600, 3200))
    assert slopes.std() > 5
