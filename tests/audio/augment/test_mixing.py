import pytest
import torch

from lib.audio.augment.mixing import add_sounds


def points(*levels: float) -> torch.Tensor:
    return torch.tensor([[levels]])


def changed(audio, **values):
    return audio.model_copy(update=values)


def test_sounds_add_up_in_power(audio):
    # levels 1, 0.5 and 0.75 are 0, -20 and -10 dB: powers 1, 0.01 and 0.1
    total = add_sounds(points(1, 0.5, 0.75), points(0.5, 0.5, 1), torch.tensor([0.1]), changed(audio, top_db=40.0))
    power = torch.tensor([1 + 0.001, 0.01 + 0.001, 0.1 + 0.1])
    torch.testing.assert_close(total[0, 0], 1 + 10 / 40 * torch.log10(power / power[0]))
    amplitudes = add_sounds(points(1, 0.3), points(0.5, 0.4), torch.ones(1), changed(audio, decibels=False))
    torch.testing.assert_close(amplitudes, points(1, 0.5 / 1.25**0.5))


def test_a_sound_added_to_itself_looks_the_same(audio, batch):
    x, _ = batch()
    torch.testing.assert_close(add_sounds(x, x, torch.ones(len(x)), audio), x, atol=1e-5, rtol=0)


@pytest.mark.parametrize("decibels", [True, False])
@pytest.mark.parametrize("top_db", [40.0, 80.0, 200.0])
def test_silence_adds_nothing(audio, decibels, top_db):
    audio = changed(audio, decibels=decibels, top_db=top_db)
    silence = torch.zeros(2, 3, 4)
    assert add_sounds(silence, silence, torch.ones(2), audio).max() == 0
    sound = silence.clone()
    sound[:, 1, 2], sound[:, 0, 2] = 1, 0.5
    torch.testing.assert_close(add_sounds(sound, silence, torch.ones(2), audio), sound)
