import pytest
import torch

from lib.audio.augment.tensors.mixing import add_noise, add_sounds, join_targets, matched


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


def test_waveforms_are_added_as_if_equally_strong(audio):
    torch.manual_seed(1)
    first, second = torch.randn(3, 1000), 0.01 * torch.randn(3, 1000)
    added = add_sounds(first, second, torch.tensor([1.0, 0.25, 0.0]), audio) - first
    ratio = added.square().mean(dim=1) / first.square().mean(dim=1)
    torch.testing.assert_close(ratio, torch.tensor([1.0, 0.25, 0.0]), rtol=1e-4, atol=1e-9)


def test_silence_stays_silence_and_beside_it_a_sound_stays_as_it_is():
    sound, silence, gain = torch.ones(1, 100), torch.zeros(1, 100), torch.ones(1)
    assert torch.equal(matched(sound, silence, gain), sound)
    assert torch.equal(matched(silence, sound, gain), silence)
    assert torch.equal(add_noise(silence, sound, gain), silence) and torch.equal(add_noise(sound, silence, gain), sound)


def test_targets_hold_in_full_or_by_their_shares():
    y = torch.eye(3)
    targets, shares = [y[:1], y[1:2], y[2:]], [torch.tensor([share]) for share in (0.5, 0.5, 0.0)]
    assert join_targets(targets, shares, True).tolist() == [[1, 1, 0]]
    assert join_targets(targets, shares, False).tolist() == [[0.5, 0.5, 0]]
