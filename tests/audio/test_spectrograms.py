from collections import deque
from itertools import pairwise

import numpy as np
import pytest
import torch
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.audio.spectrograms import (
    POWER_FLOOR,
    cut_at,
    cut_windows,
    filterbank,
    level_frames,
    normalize,
    recording_windows,
)
from lib.config.schema import AudioSettings
from lib.sound.grid import window_starts
from tests.memory import peak_memory
from tests.recordings import noise, sine, write

AUDIO = AudioSettings(
    sampling_rate=8000,
    spec_duration=1.0,
    spec_height=24,
    win_length=256,
    hop_length=80,
    min_freq=100.0,
    max_freq=4000.0,
)


def changed(**values) -> AudioSettings:
    return AudioSettings(**AUDIO.model_dump() | values)


def blocks_of(samples: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    """The samples in blocks of those sizes, over and over."""
    edges = [0]
    while edges[-1] < len(samples):
        edges.append(edges[-1] + sizes[(len(edges) - 1) % len(sizes)])
    return [samples[start:end] for start, end in pairwise(edges)]


def levels_of(samples: np.ndarray, audio: AudioSettings, sizes: list[int] | None = None) -> np.ndarray:
    return np.concatenate([*level_frames(blocks_of(samples, sizes or [len(samples)]), audio)], axis=1)


def torchaudio_power(samples: np.ndarray, audio: AudioSettings) -> np.ndarray:
    transform = torchaudio.transforms.MelSpectrogram(
        audio.sampling_rate,
        n_fft=audio.win_length,
        hop_length=audio.hop_length,
        f_min=audio.min_freq,
        f_max=audio.max_freq,
        n_mels=audio.spec_height,
        power=2,
        center=True,
        pad_mode="constant",
        mel_scale="htk",
    )
    return transform(torch.from_numpy(samples)).numpy()


@settings(deadline=None, max_examples=40)
@given(
    sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=5).filter(lambda sizes: sum(sizes) > 50),
    n=st.integers(1, 9000),
    win_length=st.sampled_from([256, 400, 512]),
    hop_length=st.sampled_from([64, 80, 256]),
)
def test_levels_equal_those_of_torchaudio_whatever_the_blocks(sizes, n, win_length, hop_length):
    audio = changed(win_length=win_length, hop_length=hop_length, decibels=False)
    samples = noise(n / 8000, 8000)
    expected = torchaudio_power(samples, audio)
    power = np.square(levels_of(samples, audio, sizes))
    assert power.shape == (24, 1 + n // hop_length)
    np.testing.assert_allclose(power, expected, atol=1e-4 * expected.max())


def test_levels_at_the_default_settings_equal_those_of_torchaudio():
    audio, samples = AudioSettings(), noise(4.0, 32000)
    expected = torchaudio_power(samples, audio)
    np.testing.assert_allclose(levels_of(samples, audio), 10 * np.log10(expected), atol=0.01)


@pytest.mark.parametrize("scale", ["mel", "log", "linear"])
@pytest.mark.parametrize("frequency", [300.0, 1000.0, 3000.0])
def test_a_tone_is_loudest_in_the_band_of_its_pitch(scale, frequency):
    audio = changed(freq_scale=scale)
    to_scale = {"mel": lambda f: np.log1p(f / 700), "log": np.log, "linear": lambda f: f}[scale]
    position = (to_scale(frequency) - to_scale(100.0)) / (to_scale(4000.0) - to_scale(100.0))
    band = position * (audio.spec_height + 1) - 1
    loudest = levels_of(sine(frequency, 1.0, 8000), audio).mean(axis=1).argmax()
    assert abs(loudest - band) <= 1


@pytest.mark.parametrize("scale", ["mel", "log", "linear"])
def test_every_band_hears_something_even_where_bands_are_narrower_than_bins(scale):
    bank = filterbank(changed(freq_scale=scale, spec_height=300, min_freq=1.0))
    assert (bank.sum(axis=1) > 0).all() and (bank >= 0).all() and (bank <= 1).all()


@pytest.mark.parametrize(("power", "expected"), [(1.0, [1, 0.5, 0, 0]), (2.0, [1, 0.25, 0, 0])])
def test_normalized_levels_count_down_from_the_loudest_point_and_decibels_are_raised(power, expected):
    levels = np.array([[[-20.0, -60.0, -100.0, -180.0]]], np.float32)
    np.testing.assert_allclose(normalize(levels, changed(db_power=power)), [[expected]], atol=1e-6)
    amplitudes = np.array([[[0.2, 0.05, 0.0, 0.1]]], np.float32)
    audio = changed(decibels=False, db_power=power)
    np.testing.assert_allclose(normalize(amplitudes, audio), [[[1, 0.25, 0, 0.5]]], atol=1e-6)


@pytest.mark.parametrize("decibels", [True, False])
def test_each_window_is_normalized_for_itself_and_silence_is_zero(decibels):
    audio = changed(decibels=decibels)
    samples = np.concatenate([np.zeros(8200, np.float32), noise(1.0, 8000) * 1e-3, noise(1.0, 8000)])
    ((_, spectrograms, _),) = cut_windows(level_frames([samples], audio), audio, 1.0, 64)
    assert spectrograms.dtype == np.float32 and spectrograms.min() >= 0
    assert spectrograms.max(axis=(1, 2)).tolist() == [0, 1, 1]


@pytest.mark.parametrize("decibels", [True, False])
def test_loud_and_soft_copies_of_a_sound_look_the_same(decibels):
    audio = changed(decibels=decibels)
    loud, soft = (levels_of(gain * noise(1.0, 8000), audio)[None] for gain in (1.0, 1e-4))
    np.testing.assert_allclose(normalize(loud, audio), normalize(soft, audio), atol=1e-3)


@settings(deadline=None, max_examples=60)
@given(
    sizes=st.lists(st.integers(0, 300), min_size=1, max_size=6).filter(lambda sizes: sum(sizes) > 20),
    n=st.integers(1, 1500),
    hop=st.sampled_from([0.01, 0.1, 0.333, 0.5, 1.0, 2.5]),
    times=st.lists(st.floats(-3, 20), max_size=30).map(sorted),
    batch=st.integers(1, 9),
)
def test_windows_of_a_stream_are_those_of_the_whole_spectrogram(sizes, n, hop, times, batch):
    levels = np.random.default_rng(n).uniform(-60, 0, (AUDIO.spec_height, n)).astype(np.float32)
    pieces = [piece.T for piece in blocks_of(levels.T, sizes)]
    seconds = max(n - 1, 1) / AUDIO.frame_rate
    grid = window_starts(seconds, AUDIO.spec_duration, hop)
    padded = np.pad(levels, ((0, 0), (400, 2200)), constant_values=10 * np.log10(POWER_FLOOR))
    for starts, cut in (
        (grid, cut_windows(pieces, AUDIO, hop, batch)),
        (np.array(times), cut_at(pieces, AUDIO, times, batch)),
    ):
        windows = list(cut)
        np.testing.assert_allclose([start for part in windows for start in part.starts], starts)
        first = np.round(starts * AUDIO.frame_rate).astype(int) + 400
        for part in windows:
            whole = np.stack([padded[:, frame : frame + AUDIO.spec_width] for frame in first[: len(part.starts)]])
            np.testing.assert_array_equal(part.inputs, normalize(whole, AUDIO))
            assert len(part.starts) <= batch
            first = first[len(part.starts) :]
        if len(starts) and round(starts[-1] * AUDIO.frame_rate) + AUDIO.spec_width > n:  # the end was reached
            assert windows[-1].seconds == pytest.approx(seconds)


def test_windows_far_apart_need_no_more_memory_than_near_ones():
    def frames():
        for _ in range(300):
            yield np.zeros((AUDIO.spec_height, 5000), np.float32)

    windows = []
    peak = peak_memory(lambda: windows.extend(cut_at(frames(), AUDIO, [0.0, 14_990.0], 8)))
    assert len(windows) == 2 and peak < 5e6  # all frames are 144 MB


def test_windows_of_a_recording_do_not_depend_on_its_format_or_the_batch(tmp_path):
    samples = np.round(noise(20.0, 8000) * 32768) / 32768
    wav, flac = (write(tmp_path / f"a.{suffix}", samples, 8000, "PCM_16") for suffix in ("wav", "flac"))
    one = list(recording_windows(wav, AUDIO, 0.5, 64))
    many = list(recording_windows(flac, AUDIO, 0.5, 3))
    assert len(one) == 1 and len(many) == 13
    np.testing.assert_array_equal(one[0].inputs, np.concatenate([part.inputs for part in many]))
    assert one[-1].seconds == many[-1].seconds == pytest.approx(20.0)


def test_memory_does_not_grow_with_the_length_of_the_sound():
    def peak(n_blocks: int) -> int:
        block = noise(8.0, 8000)
        levels = level_frames((block for _ in range(n_blocks)), AUDIO)
        return peak_memory(lambda: deque(cut_windows(levels, AUDIO, 0.5, 16), maxlen=0))

    assert peak(100) < 1.2 * peak(5)
