import numpy as np
import pytest
import soundfile
import torch

from lib.audio.augment.background_noise import read_noise
from lib.core.errors import SettingsError
from tests.audio.augment.listening import band_power, dominant_frequency, strength_db, tones


def test_background_has_the_ratio_that_is_set(sounds, augmented):
    x, _ = sounds
    noisy, targets = augmented(
        "background_noise", x, background=torch.randn_like(x), probability=1.0, snr_db=[0.0, 20.0]
    )
    snr = strength_db(x) - strength_db(noisy - x)
    assert -0.1 < snr.min() < 8 and 12 < snr.max() < 20.1
    assert torch.equal(targets, torch.eye(12))


def test_noise_comes_from_a_folder_of_recordings_of_any_rate_and_length(tmp_path, sounds, augmented):
    soundfile.write(tmp_path / "short.wav", tones(3100.0, rate=16000, seconds=0.4)[0].numpy(), 16000)
    soundfile.write(tmp_path / "long.flac", tones(3700.0, seconds=5.5)[0].numpy(), 8000)
    x = tones(*[500.0] * 30)
    noisy, _ = augmented("background_noise", x, probability=1.0, snr_db=[-10.0, -10.0], folder=str(tmp_path))
    heard = dominant_frequency(noisy).round().int().tolist()
    assert {round(frequency, -2) for frequency in heard} == {3100, 3700}
    assert (band_power(noisy, 450, 550) > 0).all()


def test_silence_gets_no_noise(sounds, augmented):
    x, _ = sounds
    silence = torch.zeros_like(x)
    assert not augmented("background_noise", silence, background=x, probability=1.0)[0].any()


def test_folder_without_usable_noise_is_one_clear_line(tmp_path, sounds, augmented):
    with pytest.raises(SettingsError, match=r"^train\.augmentations\.background_noise: .*nowhere.*no such file"):
        augmented("background_noise", sounds[0], folder=str(tmp_path / "nowhere"))
    with pytest.raises(SettingsError, match="holds no recording"):
        augmented("background_noise", sounds[0], folder=str(tmp_path))
    soundfile.write(tmp_path / "a.wav", np.zeros(0, np.float32), 8000)
    with pytest.raises(SettingsError, match=r"a\.wav: holds no sound"):
        augmented("background_noise", sounds[0], folder=str(tmp_path))


def test_noise_takes_no_more_memory_with_more_recordings(tmp_path, audio, monkeypatch):
    for i in range(6):
        soundfile.write(tmp_path / f"{i}.wav", tones(500.0 + 100 * i, seconds=3.2)[0].numpy(), 8000)
    files = sorted(tmp_path.iterdir())
    length = audio.window_samples + 2 * audio.margin
    for most, n in ((4, 4), (6, 6), (12, 12), (100, 18)):  # there are three in each
        monkeypatch.setattr("lib.audio.augment.background_noise.MOST_BYTES", 4 * length * most)
        noise = read_noise(files, audio)
        assert noise.shape == (n, length)
        assert len({round(float(each)) for each in dominant_frequency(torch.from_numpy(noise))}) == min(n, 6)
        assert np.array_equal(noise, read_noise(files[::-1], audio))
