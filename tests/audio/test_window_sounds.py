from collections import deque

import numpy as np
import pytest

from lib.audio.spectrograms import cut_at, cut_windows, decoded, frame_at, recording_windows, window_pieces
from tests.audio.test_spectrograms import AUDIO, blocks_of
from tests.memory import peak_memory
from tests.recordings import noise, write

SAMPLES = noise(7.3, 8000)


def expected_at(starts: np.ndarray) -> np.ndarray:
    padded = np.pad(SAMPLES, 20 * 8000)
    first = frame_at(starts, AUDIO) * AUDIO.hop_length - AUDIO.margin + 20 * 8000
    return np.stack([padded[begin : begin + AUDIO.window_samples + 2 * AUDIO.margin] for begin in first])


@pytest.mark.parametrize("sizes", [[100_000], [777, 1], [8000]])
@pytest.mark.parametrize("batch", [1, 3, 50])
def test_windows_hold_the_sound_around_them_whatever_the_blocks(sizes, batch):
    def pieces():
        return window_pieces(blocks_of(SAMPLES, sizes), AUDIO, "waveforms")

    times = [-30.0, -0.5, 0.0, 0.004, 1.234, 6.9, 7.2, 15.0]
    for cut in (
        cut_windows(pieces(), AUDIO, 0.4, batch, "waveforms"),
        cut_at(pieces(), AUDIO, times[1:], batch, "waveforms"),
    ):
        for windows in cut:
            np.testing.assert_array_equal(windows.inputs, expected_at(windows.starts))


def test_a_recording_in_blocks_gives_the_windows_of_the_whole_file(tmp_path):
    samples = np.round(noise(100.0, 8000) * 32768).astype(np.float32) / 32768
    path = write(tmp_path / "a.wav", samples, 8000, "PCM_16")
    (whole,) = recording_windows(path, AUDIO, 0.7, 1000, takes="waveforms")
    parts = list(recording_windows(path, AUDIO, 0.7, 7, takes="waveforms"))
    assert len(whole.starts) == 143 and parts[-1].seconds == whole.seconds == 100.0
    np.testing.assert_array_equal(np.concatenate([part.inputs for part in parts]), whole.inputs)
    pieces = window_pieces(decoded(path, AUDIO), AUDIO, "waveforms")
    chosen = [part.inputs for part in cut_at(pieces, AUDIO, [3.5, 70.0], 7, "waveforms")]
    np.testing.assert_array_equal(np.concatenate(chosen), whole.inputs[[5, 100]])


def test_memory_does_not_grow_with_the_length_of_the_sound():
    def peak(n_blocks: int) -> int:
        block = noise(8.0, 8000)
        pieces = window_pieces((block for _ in range(n_blocks)), AUDIO, "waveforms")
        return peak_memory(lambda: deque(cut_windows(pieces, AUDIO, 0.5, 16, "waveforms"), maxlen=0))

    assert peak(100) < 1.2 * peak(5)
