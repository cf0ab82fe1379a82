"""Spectrograms of streamed sound on a CPU.

A recording is transformed once, frame by frame on one grid (frame k is centred on sample k * hop_length), and windows
are cut out of the frames, so that overlapping windows cost no further transform. The levels equal those of torchaudio's
MelSpectrogram(power=2, center=True, pad_mode="constant", mel_scale="htk") with a periodic Hann window.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.fft
import scipy.sparse
from numpy.typing import ArrayLike

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


SCALES: dict[str, tuple[Callable, Callable]] = {
    "mel": (lambda f: 2595 * np.log10(1 + f / 700), lambda m: 700 * (10 ** (m / 2595) - 1)),
    "log": (np.log, np.exp),
    "linear": (np.asarray, np.asarray),
}
"""By name: from Hz to where a frequency lies on the scale, and back."""


def band_edges(audio: Audio) -> np.ndarray:
    """Frequencies (Hz) float64 (spec_height + 2,): band k rises from the k-th to its centre, the next, then falls."""
    to_scale, to_hz = SCALES[audio.freq_scale]
    return to_hz(np.linspace(to_scale(audio.min_freq), to_scale(audio.max_freq), audio.spec_height + 2))


@lru_cache(maxsize=8)
def filterbank(audio: Audio) -> np.ndarray:
    """Triangular filters, float32 (spec_height, win_length // 2 + 1), that sum power into bands.

    Band edges are equally spaced from min_freq to max_freq on the scale: `mel` (HTK's 2595 log10(1 + f / 700)), `log`
    or `linear`. A band that is narrower than the distance of two FFT bins takes the nearest bin.
    """
    edges = band_edges(audio)
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

    Frames come in as many pieces as blocks, and one more; together they are 1 + samples // hop_length. For levels see
    whole_frames.
    """
    half = audio.win_length // 2
    buffer = np.zeros(half, np.float32)
    for block in _with_end(blocks, half):
        buffer = np.concatenate([buffer, block])
        if len(buffer) >= audio.win_length:
            levels = whole_frames(buffer, audio)
            yield levels
            buffer = buffer[levels.shape[1] * audio.hop_length :]


def whole_frames(samples: np.ndarray, audio: Audio) -> np.ndarray:
    """Band levels of the frames that lie whole within samples, float32 (n,), n >= win_length, the first from their
    start on: float32 (spec_height, 1 + (n - win_length) // hop_length).

    Levels are decibels (10 log10 of power) if audio.decibels, else amplitudes (root of power).
    """
    window = hann(audio.win_length)
    bank, bins = _sparse_filterbank(audio)
    frames = np.lib.stride_tricks.sliding_window_view(samples, audio.win_length)[:: audio.hop_length]
    power = np.empty((audio.spec_height, len(frames)), np.float32)
    for k in range(0, len(frames), FRAMES_AT_ONCE):
        spectrum = scipy.fft.rfft(frames[k : k + FRAMES_AT_ONCE] * window, axis=1)[:, bins]
        power[:, k : k + FRAMES_AT_ONCE] = bank @ np.ascontiguousarray(np.square(np.abs(spectrum)).T)
    return 10 * np.log10(np.maximum(power, np.float32(POWER_FLOOR))) if audio.decibels else np.sqrt(power)


def silence(audio: Audio) -> float:
    """The level of a band without sound."""
    return 10 * np.log10(POWER_FLOOR) if audio.decibels else 0.0


def _with_end(blocks: Iterable[np.ndarray], half: int) -> Iterator[np.ndarray]:
    yield from blocks
    yield np.zeros(half, np.float32)


def normalize(levels: np.ndarray, audio: Audio) -> np.ndarray:
    """Windows of levels, (n, height, width), as float32 0..1 of the same shape.

    The loudest point of a window is 1. With decibels, 0 is top_db below it, and what lies between is raised to
    db_power; else 0 is no amplitude. A window without sound is all 0.
    """
    peak = levels.max(axis=(1, 2), keepdims=True)
    if audio.decibels:
        silent = peak <= silence(audio) + 1
        scaled = np.clip(1 + (levels - peak) / np.float32(audio.top_db), 0, 1)
        if audio.db_power != 1:
            scaled = scaled ** np.float32(audio.db_power)
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
            skipped = min(round(k * hop * rate) - first, held.shape[1])  # hops may be longer than windows
            held, first = held[:, skipped:], first + skipped
    n = n_windows(seconds, audio.spec_duration, hop)
    missing = round((n - 1) * hop * rate) + width - first - held.shape[1]
    held = np.pad(held, ((0, 0), (0, max(0, missing))), constant_values=silence(audio))
    for k in range(k, n, batch):  # noqa: B020
        yield cut(min(batch, n - k))


def window_at(held: np.ndarray, first: int, start: int, audio: Audio) -> np.ndarray:
    """Levels, float32 (spec_height, spec_width), of the window that begins at frame `start`.

    held: levels (spec_height, n) of the frames from `first` on; what the window has beyond them is silence.
    """
    levels = np.full((audio.spec_height, audio.spec_width), silence(audio), np.float32)
    low, high = max(start, first), min(start + audio.spec_width, first + held.shape[1])
    if low < high:
        levels[:, low - start : high - start] = held[:, low - first : high - first]
    return levels


def frame_at(times: ArrayLike, audio: Audio) -> np.ndarray:
    """Index, int64, of the frame that is nearest to each time (s), of which a window from that time on is cut."""
    return np.round(np.asarray(times, float) * audio.frame_rate).astype(np.int64)


def cut_at(frames: Iterable[np.ndarray], audio: Audio, starts: Sequence[float], batch: int) -> Iterator[Windows]:
    """Cut streamed level frames into normalized windows at the given start times (s), which must ascend.

    What a window lacks before the start or behind the end of the sound is silence. At most `batch` windows come at a
    time. No frames are taken behind the last window, so `seconds` falls short of the recording's duration, but only
    where all windows lie before the end.
    """
    offsets = frame_at(starts, audio)
    held, first, k = np.empty((audio.spec_height, 0), np.float32), 0, 0  # frames held, index of the first, next window

    def cut(n: int) -> Windows:
        levels = np.empty((n, audio.spec_height, audio.spec_width), np.float32)
        for i, offset in enumerate(offsets[k : k + n]):
            levels[i] = window_at(held, first, int(offset), audio)
        seconds = max(first + held.shape[1] - 1, 1) / audio.frame_rate
        return Windows(np.asarray(starts[k : k + n], float), normalize(levels, audio), seconds)

    for piece in frames:
        held = np.concatenate([held, piece], axis=1)
        end = first + held.shape[1]
        whole = int(np.searchsorted(offsets, end - audio.spec_width, side="right"))
        while k < whole:
            n = min(batch, whole - k)
            yield cut(n)
            k += n
        if k == len(offsets):
            return
        needed = min(max(int(offsets[k]), first), end)
        held, first = held[:, needed - first :], needed
    while k < len(offsets):
        n = min(batch, len(offsets) - k)
        yield cut(n)
        k += n


def recording_windows(
    path: str | Path,
    audio: Audio,
    hop: float,
    batch: int,
    start: float = 0.0,
    note: reader.Note = lambda text: None,
) -> Iterator[Windows]:
    """A recording's normalized windows, as cut_windows gives them; times count from `start` (s). Raises AudioError."""
    return cut_windows(_recording_frames(path, audio, start, note), audio, hop, batch)


def recording_windows_at(
    path: str | Path, audio: Audio, starts: Sequence[float], batch: int, note: reader.Note = lambda text: None
) -> Iterator[Windows]:
    """A recording's normalized windows at the given start times, as cut_at gives them. Raises AudioError."""
    return cut_at(_recording_frames(path, audio, 0.0, note), audio, starts, batch)


def _recording_frames(path: str | Path, audio: Audio, start: float, note: reader.Note) -> Iterator[np.ndarray]:
    blocks = ahead(reader.stream(path, audio.sampling_rate, audio.channel, start, note), BLOCKS_AHEAD)
    return level_frames(blocks, audio)
