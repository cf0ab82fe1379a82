import numpy as np
import pytest
import torch
import torchaudio

from lib.audio.augment.tensors.phase_vocoder import stretch
from tests.audio.augment.listening import dominant_frequency, tones


def test_each_window_has_its_own_speed(audio):
    """As torchaudio's, which has one for all, has it for each of them alone."""
    torch.manual_seed(1)
    x, speeds = torch.randn(10, 8000), torch.linspace(0.6, 0.99, 10)
    played = stretch(x, speeds, 8000, audio)
    window, advance = torch.hann_window(512), 2 * torch.pi * 128 / 512 * torch.arange(257)[:, None]
    for sound, speed, result in zip(x, speeds.tolist(), played, strict=True):
        spectrum = torch.stft(sound, 512, 128, window=window, pad_mode="constant", return_complex=True)
        peer = torch.istft(torchaudio.functional.phase_vocoder(spectrum, speed, advance), 512, 128, window=window)
        torch.testing.assert_close(result[:7600], peer[:7600], atol=2e-3, rtol=0)  # whose end lies beyond the window


@pytest.mark.parametrize("speed", [0.5, 0.8, 1.0, 1.3])
def test_tones_keep_their_frequency_and_events_move(audio, speed):
    x = tones(440.0, 700.0, 1500.0)
    heard = dominant_frequency(stretch(x, torch.full((3,), speed), 8000, audio))
    torch.testing.assert_close(heard, torch.tensor([440.0, 700.0, 1500.0]), rtol=0.005, atol=0)
    burst = torch.zeros_like(x)
    burst[:, 3000:3400] = x[:, 3000:3400]
    played = stretch(burst, torch.full((3,), speed), 8000, audio)
    centre = (played.square() * torch.arange(8000)).sum(dim=1) / played.square().sum(dim=1)
    np.testing.assert_allclose(centre, 3200 / speed, atol=256)  # half a frame


def test_at_speed_one_sound_stays_as_it_is(audio):
    torch.manual_seed(1)
    x = torch.randn(9, 8000)
    torch.testing.assert_close(stretch(x, torch.ones(9), 8000, audio), x, atol=1e-3, rtol=0)


def test_what_a_faster_sound_leaves_free_is_filled_by_its_beginning(audio):
    played = stretch(tones(440.0), torch.tensor([2.0]), 8000, audio)
    assert played[:, 5000:7500].square().mean() > 0.5 * played[:, 500:3500].square().mean()


def test_silence_stays_silence(audio):
    assert stretch(torch.zeros(2, 8000), torch.tensor([0.7, 1.4]), 8000, audio).abs().max() < 1e-12


def test_windows_shorter_than_a_transform_are_no_error(audio):
    assert stretch(torch.randn(2, 100), torch.tensor([0.7, 1.4]), 100, audio).isfinite().all()
