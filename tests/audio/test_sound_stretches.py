import io

import numpy as np
import pytest
import soundfile

from lib.audio.reader import load
from lib.audio.sound_stretches import HEARD_RATE, heterodyned, longest, read_stretch, slowed, wav_bytes
from lib.core.errors import SettingsError
from tests.recordings import LEVEL, noise, sine, write


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
def test_a_stretch_holds_the_samples_of_the_whole_recording(tmp_path, name):
    path = write(tmp_path / name, noise(40.0, 48000), 48000)
    whole = soundfile.read(path, dtype="float32")[0]
    stretch = read_stretch(path, 20.123456, 21.5)
    assert (stretch.sampling_rate, stretch.first) == (48000, round(20.123456 * 48000))
    assert np.array_equal(stretch.samples, whole[stretch.first : round(21.5 * 48000)])


def test_beyond_the_recording_there_is_silence(tmp_path):
    path = write(tmp_path / "a.wav", noise(1.0, 8000), 8000, "FLOAT")
    samples = read_stretch(path, -0.5, 1.5, margin=10).samples
    assert len(samples) == 16020
    assert not samples[:4010].any() and not samples[-4010:].any()
    assert np.array_equal(samples[4010:12010], noise(1.0, 8000))
    assert not read_stretch(path, -3, -2).samples.any()
    assert not read_stretch(path, 5, 6).samples.any()


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_the_cleanest_channel_is_that_of_the_whole_recording_though_noise_changes_sides(tmp_path, name):
    rate, seconds = 8000, 80  # more than two blocks of the decoder
    song = sine(1000, seconds, rate) * (np.arange(seconds * rate) % rate < rate // 4)
    is_late = np.arange(seconds * rate) >= seconds * rate // 2
    left, right = song + noise(seconds, rate) * is_late, song + noise(seconds, rate, 2) * ~is_late
    path = write(tmp_path / name, np.stack([left, right], axis=1).astype(np.float32), rate)
    whole = load(path, rate, "cleanest")
    np.testing.assert_allclose(whole, left, atol=1e-3)
    for start, end in ((0.0, 5.0), (20.0, 30.0), (50.0, 52.0), (75.0, 80.0)):
        stretch = read_stretch(path, start, end, "cleanest", margin=0)
        np.testing.assert_array_equal(stretch.samples, whole[round(start * rate) : round(end * rate)])


def test_the_cleanest_channel_is_chosen_again_when_the_file_changes(tmp_path):
    quiet, loud = 0.01 * noise(20.0, 8000), noise(20.0, 8000, 2)
    song = sine(1000, 20.0, 8000) * (np.arange(160_000) % 8000 < 2000)
    for sides in ((quiet, loud), (loud, quiet, 0 * loud)):
        path = write(tmp_path / "a.wav", np.stack([song + side for side in sides], axis=1), 8000, "FLOAT")
        expected = load(path, 8000, "cleanest")[120_000:136_000]
        np.testing.assert_array_equal(read_stretch(path, 15, 17, "cleanest").samples, expected)


@pytest.mark.parametrize(("start", "end"), [(0, 0), (2, 1), (0, 121), (float("nan"), 1)])
def test_impossible_stretches_are_refused(tmp_path, start, end):
    path = write(tmp_path / "a.wav", noise(1.0, 8000), 8000)
    with pytest.raises(SettingsError):
        read_stretch(path, start, end)


def test_of_ultrasound_fewer_seconds_are_read_at_once(tmp_path):
    path = write(tmp_path / "bat.wav", noise(0.1, 384_000), 384_000)
    most = longest(384_000)
    assert most == 2**24 / 384_000
    assert len(read_stretch(path, 0.3, 0.3 + most).samples) == 2**24
    with pytest.raises(SettingsError, match=r"at most 43\.7 s at 384,000 Hz"):
        read_stretch(path, 0, most + 0.01)


def test_a_call_of_a_bat_is_shifted_to_where_people_hear_it(tmp_path):
    path = write(tmp_path / "bat.wav", sine(42_000, 1.0, 250_000), 250_000, "FLOAT")
    samples, rate = heterodyned(read_stretch(path, 0, 1), 40_000)
    assert (rate, len(samples)) == (HEARD_RATE, HEARD_RATE)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    assert abs(np.argmax(spectrum) - 2000) <= 1  # Hz
    assert np.abs(samples[5000:-5000]).max() == pytest.approx(LEVEL, rel=0.05)
    far, _ = heterodyned(read_stretch(path, 0, 1), 60_000)
    assert np.abs(far[5000:-5000]).max() < 0.01


def test_slowed_sound_has_the_same_samples_and_a_rate_that_can_be_played(tmp_path):
    path = write(tmp_path / "bat.wav", noise(0.1, 250_000), 250_000, "FLOAT")
    samples, rate = slowed(read_stretch(path, 0, 0.1), 10)
    back, back_rate = soundfile.read(io.BytesIO(wav_bytes(samples, rate)), dtype="float32")
    assert (back_rate, rate) == (25_000, 25_000)
    assert np.array_equal(back, noise(0.1, 250_000))
    with pytest.raises(SettingsError):
        slowed(read_stretch(path, 0, 0.1), 100)
