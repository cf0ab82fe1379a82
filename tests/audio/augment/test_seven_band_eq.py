import numpy as np
import torch

from tests.audio.augment.listening import band_power


def test_each_band_gets_a_gain_of_its_own_within_the_limits(audio, augmented):
    torch.manual_seed(1)
    x = torch.randn(60, 8000)
    equalized, _ = augmented("seven_band_eq", x, probability=1.0, max_db=10.0)
    centres = np.geomspace(audio.min_freq, audio.max_freq, 15)[1::2]
    before, after = (torch.stack([band_power(each, f * 0.97, f * 1.03) for f in centres]) for each in (x, equalized))
    db = 10 * torch.log10(after / before)
    assert db.abs().max() < 10.1 and db.min() < -9 and db.max() > 9
    assert torch.corrcoef(db).fill_diagonal_(0).abs().max() < 0.5  # bands are independent


def test_without_gain_nothing_changes(augmented):
    x = torch.randn(4, 8001)
    torch.testing.assert_close(augmented("seven_band_eq", x, probability=1.0, max_db=0.0)[0], x, atol=1e-5, rtol=0)


def test_gains_change_evenly_between_the_centres_and_not_beyond_the_outer_ones(audio, augmented):
    click = torch.zeros(1, 80_000)
    click[0, 0] = 1
    frequencies = np.arange(40_001) / 10
    for lowest in (50.0, 0.0):
        of_band = audio.model_copy(update={"min_freq": lowest})
        equalized, _ = augmented("seven_band_eq", click, probability=1.0, audio=of_band)
        db = 20 * torch.fft.rfft(equalized[0]).abs().log10().numpy()
        centres = np.geomspace(lowest or audio.max_freq / 1000, audio.max_freq, 15)[1::2]
        at_centres = np.interp(centres, frequencies, db)
        expected = np.interp(np.log(frequencies[1:]), np.log(centres), at_centres)
        np.testing.assert_allclose(db, [expected[0], *expected], atol=0.1)
