import pytest
import torch

from lib.audio.augment import Batch
from lib.audio.augment.pitch import shift_pitch
from tests.audio.augment.listening import dominant_frequency, strength_db, tones


@pytest.mark.parametrize("semitones", [-12, -2, 2, 12])
def test_semitones_change_the_frequency_and_nothing_of_the_length(audio, semitones):
    factors = torch.full((3,), 2 ** (semitones / 12))
    x = tones(440.0, 600.0, 1500.0)
    shifted = shift_pitch(x, factors, Batch(x, torch.eye(3), None, None, audio, True))
    expected = torch.tensor([440.0, 600.0, 1500.0]) * factors
    torch.testing.assert_close(dominant_frequency(shifted), expected, rtol=0.03, atol=0)
    for part in shifted.split(2000, dim=1):
        assert (strength_db(part) - strength_db(x)).abs().max() < 2


def test_each_window_gets_a_pitch_of_its_own_within_the_limits(augmented):
    x = tones(*[500.0] * 40)
    heard = dominant_frequency(augmented("pitch", x, probability=1.0, semitones=5.0)[0])
    semitones = 12 * torch.log2(heard / 500)
    assert semitones.abs().max() < 5.05 and semitones.min() < -3 and semitones.max() > 3
