"""Spectrograms of streamed sound on a CPU.

A recording is transformed once, frame by frame on one grid (frame k is centred on sample k * hop_length), and windows
are cut out of the frames, so that overlapping windows cost no further transform. The levels equal those of torchaudio's
MelSpectrogram(power=2, center=True, pad_mode="constant", mel_scale="htk") with a periodic Hann window.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.fft
import scipy.sparse

from lib.audio import reader
from lib.audio.windows import n_windows
from lib.config import Audio
from lib.parallel import ahead

POWER_FLOOR = 1e-18
"""Power below which a band counts as silent; 16-bit recordings' quantization noise lies above it."""
FRAMES_AT_ONCE = 200
"""Frames whose transforms fit into a processor's cache together."""
BLOCKS_AHEAD = 4
"""Decoded blocks that wait for their transform: decoding and transforming run side by side."""


@lru_cache(maxsize=8)
def filterbank(audio: Audio) -> np.ndarray:
    """Triangular filters, float32 (spec_height, win_length // 2 + 1), that sum power into bands.

    Band edges are equally spaced from min_freq to max_freq on the scale: `mel` (HTK's 2595 log10(1 + f / 700)), `log`
    or `linear`. A band that is narrower than the distance of two FFT bins takes the nearest bin.
    """
    scales: dict[str, tuple[Callable, Callable]] = {
        "mel": (lambda f: 2595 * np.log10(1 + f / 700), lambda m: 700 * (10 ** (m / 2595) - 1)),
        "log": (np.log, np.exp),
        "linear": (np.asarray, np.asarray),
    }
    to_scale, to_hz = scales[audio.freq_scale]
    edges = to_hz(np.linspace(to_scale(audio.min_freq), to_scale(audio.max_freq), audio.spec_height + 2))
    bins = np.fft.rfftfreq(audio.win_length, 1 / audio.sampling_rate)
    low, centre, high = (edges[i : i + audio.spec_height, None] for i in range(3))
    bank = np.maximum(0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
    for band in np.flatnonzero(bank.sum(axis=1) == 0):
        bank[band, np.abs(bins - centre[band]).argmin()] = 1
    return bank.astype(np.float32)


@lru_cache(maxsize=8)
def _sparse_filterbank(audio: Audio) -> tuple[scipy.sparse.csr_array, slice]:
    """The filters without the bins that no band uses, and which bins those are that remain."""
    bank = filterbank(audio)
    used = np.flatnonzero(bank.any(axis=0))
    bins = slice(used[0], used[-1] + 1)
    return scipy.sparse.csr_array(bank[:, bins]), bins


def hann(length: int) -> np.ndarray:
    """Periodic Hann window, float32 (length,), as torch.hann_window and scipy.signal.get_window make it."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)).astype(np.float32)


def level_frames(blocks: Iterable[np.ndarray], audio: Audio) -> Iterator[np.ndarray]:
    """Turn waveform blocks, float32 (samples,), into band levels, float32 (spec_height, n_frames).

    Levels are decibels (10 log10 of power) if audio.decibels, else amplitudes (root of power). Frames come in as many
    pieces as blocks, and one more; together they are 1 + samples // hop_length.
    """
    window = hann(audio.win_length)
    bank, bins = _sparse_filterbank(audio)
    half = audio.win_length // 2
    buffer = np.zeros(half, np.float32)
    for block in _with_end(blocks, half):
        buffer = np.concatenate([buffer, block])
        n = (len(buffer) - audio.win_length) // audio.hop_length + 1
        if n <= 0:
            continue
        frames = np.lib.stride_tricks.sliding_window_view(buffer, audio.win_length)[:: audio.hop_length][:n]
        power = np.empty((audio.spec_height, n), np.float32)
        for k in range(0, n, FRAMES_AT_ONCE):
            spectrum = scipy.fft.rfft(frames[k : k + FRAMES_AT_ONCE] * window, axis=1)[:, bins]
            power[:, k : k + FRAMES_AT_ONCE] = bank @ np.ascontiguousarray(np.square(np.abs(spectrum)).T)
        yield 10 * np.log10(np.maximum(power, np.float32(POWER_FLOOR))) if audio.decibels else np.sqrt(power)
        buffer = buffer[n * audio.hop_length :]


def _with_end(blocks: Iterable[np.ndarray], half: int) -> Iterator[np.ndarray]:
    yield from blocks
    yield np.zeros(half, np.float32)


def normalize(levels: np.ndarray, audio: Audio) -> np.ndarray:
    """Windows of levels, (n, height, width), as float32 0..1 of the same shape.

    The loudest point of a window is 1. With decibels, 0 is top_db below it; else 0 is no amplitude. A window without
    sound is all 0.
    """
    peak = levels.max(axis=(1, 2), keepdims=True)
    if audio.decibels:
        silent = peak <= 10 * np.log10(POWER_FLOOR) + 1
        scaled = np.clip(1 + (levels - peak) / np.float32(audio.top_db), 0, 1)
    else:
        silent = peak <= np.sqrt(POWER_FLOOR)
        scaled = levels / np.maximum(peak, np.float32(np.sqrt(POWER_FLOOR)))
    return np.where(silent, np.float32(0), scaled).astype(np.float32, copy=False)


class Windows(NamedTuple):
    """A batch of windows of a recording.

    starts: float64 (n,), s. spectrograms: float32 (n, spec_height, spec_width) in 0..1. seconds: of sound read so far;
    in a recording's last batch, its duration.
    """

    starts: np.ndarray
    spectrograms: np.ndarray
    seconds: float


def cut_windows(frames: Iterable[np.ndarray], audio: Audio, hop: float, batch: int) -> Iterator[Windows]:
    """Cut streamed level frames into normalized windows, one every `hop` seconds, at most `batch` at a time.

    What a last window lacks is filled with silence. Holds a batch of frames in memory, whatever the recording's length.
    """
    width, rate = audio.spec_width, audio.frame_rate
    floor = 10 * np.log10(POWER_FLOOR) if audio.decibels else 0.0
    held, first, k = np.empty((audio.spec_height, 0), np.float32), 0, 0  # frames held, index of the first, next window

    seconds = 1 / rate

    def cut(n: int) -> Windows:
        starts = np.arange(k, k + n) * hop
        offsets = np.round(starts * rate).astype(int) - first
        levels = np.stack([held[:, offset : offset + width] for offset in offsets])
        return Windows(starts, normalize(levels, audio), seconds)

    for piece in frames:
        held = np.concatenate([held, piece], axis=1)
        seconds = max(first + held.shape[1] - 1, 1) / rate
        while n_windows(seconds, audio.spec_duration, hop) > k + batch:  # one more follows, so these are whole
            yield cut(batch)
            k += batch
            skipped = round(k * hop * rate) - first
            held, first = held[:, skipped:], first + skipped
    n = n_windows(seconds, audio.spec_duration, hop)
    missing = round((n - 1) * hop * rate) + width - first - held.shape[1]
    held = np.pad(held, ((0, 0), (0, max(0, missing))), constant_values=floor)
    for k in range(k, n, batch):  # noqa: B020
        yield cut(min(batch, n - k))


def recording_windows(
    path: str | Path,
    audio: Audio,
    hop: float,
    batch: int,
    start: float = 0.0,
    note: reader.Note = lambda text: None,
) -> Iterator[Windows]:
    """A recording's normalized windows, as cut_windows gives them; times count from `start` (s). Raises AudioError."""
    blocks = ahead(reader.stream(path, audio.sampling_rate, audio.channel, start, note), BLOCKS_AHEAD)
    return cut_windows(level_frames(blocks, audio), audio, hop, batch)
