"""Spectrograms of streamed sound on a CPU, and the windows that networks take.

A recording is transformed once, frame by frame on one grid (frame k is centred on sample k * hop_length), and windows
are cut out of the frames, so that windows that overlap share their transforms. The levels equal those of torchaudio's
MelSpectrogram(power=2, center=True, pad_mode="constant", mel_scale="htk") with a periodic Hann window.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import scipy.fft
import scipy.sparse
from numpy.typing import ArrayLike

from lib.audio import reader
from lib.audio.window_sounds import LastSamples, samples_from, with_ends
from lib.config.schema import AudioSettings
from lib.core.parallel import ahead
from lib.sound.grid import n_windows, window_starts

POWER_FLOOR = 1e-18
"""Power below which a band counts as silent; the quantization noise of 16-bit recordings is above it."""
FRAMES_AT_ONCE = 200
"""Frames whose transforms fit into a processor's cache together."""
BLOCKS_AHEAD = 4
"""Decoded blocks that wait for their transform: decoding and transforming run side by side."""

Takes = Literal["spectrograms", "waveforms"]
"""What a network takes of a window."""

SCALES: dict[str, tuple[Callable, Callable]] = {
    "mel": (lambda f: 2595 * np.log10(1 + f / 700), lambda m: 700 * (10 ** (m / 2595) - 1)),
    "log": (np.log, np.exp),
    "linear": (np.asarray, np.asarray),
}
"""By name: from Hz to the position on the scale, and back."""


@lru_cache(maxsize=8)
def filterbank(audio: AudioSettings) -> np.ndarray:
    """Triangular filters, float32 (spec_height, win_length // 2 + 1), that sum power into bands.

    Band edges are equally spaced from min_freq to max_freq on the scale: `mel` (HTK's 2595 log10(1 + f / 700)), `log`
    or `linear`. A band that is narrower than the distance of two FFT bins takes the nearest bin.
    """
    to_scale, to_hz = SCALES[audio.freq_scale]
    edges = to_hz(np.linspace(to_scale(audio.min_freq), to_scale(audio.max_freq), audio.spec_height + 2))
    bins = np.fft.rfftfreq(audio.win_length, 1 / audio.sampling_rate)
    low, centre, high = (edges[i : i + audio.spec_height, None] for i in range(3))
    bank = np.maximum(0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
    for band in np.flatnonzero(bank.sum(axis=1) == 0):
        bank[band, np.abs(bins - centre[band]).argmin()] = 1
    return bank.astype(np.float32)


@lru_cache(maxsize=8)
def _sparse_filterbank(audio: AudioSettings) -> tuple[scipy.sparse.csr_array, slice]:
    """The filters without the bins that no band uses at either end, and the remaining bins."""
    bank = filterbank(audio)
    used = np.flatnonzero(bank.any(axis=0))
    bins = slice(used[0], used[-1] + 1)
    return scipy.sparse.csr_array(bank[:, bins]), bins


def hann(length: int) -> np.ndarray:
    """Periodic Hann window, float32 (length,), as torch.hann_window and scipy.signal.get_window make it."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)).astype(np.float32)


def level_frames(blocks: Iterable[np.ndarray], audio: AudioSettings) -> Iterator[np.ndarray]:
    """Turn waveform blocks, float32 (samples,), into band levels, float32 (spec_height, n_frames).

    The pieces hold 1 + samples // hop_length frames together. For levels see whole_frames.
    """
    half = np.zeros(audio.win_length // 2, np.float32)
    buffer = half
    for block in chain(blocks, [half]):
        buffer = np.concatenate([buffer, block])
        if len(buffer) >= audio.win_length:
            levels = whole_frames(buffer, audio)
            yield levels
            buffer = buffer[levels.shape[1] * audio.hop_length :]


def whole_frames(samples: np.ndarray, audio: AudioSettings) -> np.ndarray:
    """Band levels of the frames that lie completely within the samples, the first of them at their start.

    Levels are decibels (10 log10 of power) if audio.decibels, else amplitudes (square root of power).

    Args:
        samples: float32 (n,), n >= win_length.

    Returns float32 (spec_height, 1 + (n - win_length) // hop_length).
    """
    return frame_levels(np.lib.stride_tricks.sliding_window_view(samples, audio.win_length)[:: audio.hop_length], audio)


def frame_levels(frames: np.ndarray, audio: AudioSettings) -> np.ndarray:
    """Band levels, float32 (spec_height, n), of frames, float32 (n, win_length); see whole_frames."""
    window = hann(audio.win_length)
    bank, bins = _sparse_filterbank(audio)
    power = np.empty((audio.spec_height, len(frames)), np.float32)
    for k in range(0, len(frames), FRAMES_AT_ONCE):
        spectrum = scipy.fft.rfft(frames[k : k + FRAMES_AT_ONCE] * window, axis=1)[:, bins]
        power[:, k : k + FRAMES_AT_ONCE] = bank @ np.ascontiguousarray(np.square(np.abs(spectrum)).T)
    return 10 * np.log10(np.maximum(power, np.float32(POWER_FLOOR))) if audio.decibels else np.sqrt(power)


def silence(audio: AudioSettings) -> float:
    """The level of a band without sound."""
    return 10 * np.log10(POWER_FLOOR) if audio.decibels else 0.0


def normalize(levels: np.ndarray, audio: AudioSettings) -> np.ndarray:
    """Windows of levels, (n, height, width), as float32 0..1 of the same shape.

    The loudest point of a window is 1. With decibels, 0 is top_db below it, and values are raised to db_power; else 0
    is no amplitude. A window without sound is all 0.
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


def frame_at(times: ArrayLike, audio: AudioSettings) -> np.ndarray:
    """Index, int64, of the frame that is nearest to each time (s); a window from that time starts there."""
    return np.round(np.asarray(times, float) * audio.frame_rate).astype(np.int64)


def windows_at(frames: np.ndarray, first: int, starts: np.ndarray, audio: AudioSettings) -> np.ndarray:
    """Levels, float32 (n, spec_height, spec_width), of the windows that begin at the frames `starts`, int (n,).

    Args:
        frames: levels (spec_height, n_frames) of the frames from `first` on; beyond them, windows are silent.
    """
    levels = np.full((len(starts), audio.spec_height, audio.spec_width), silence(audio), np.float32)
    for window, start in zip(levels, starts.tolist(), strict=True):
        low, high = max(start, first), min(start + audio.spec_width, first + frames.shape[1])
        if low < high:
            window[:, low - start : high - start] = frames[:, low - first : high - first]
    return levels


class Windows(NamedTuple):
    """A batch of windows of a recording, as networks take them.

    Args:
        starts: float64 (n,), s.
        inputs: spectrograms, float32 (n, spec_height, spec_width) in 0..1, or waveforms, see lib.audio.window_sounds.
        seconds: of sound read so far; in a recording's last batch, its duration.
    """

    starts: np.ndarray
    inputs: np.ndarray
    seconds: float


class _LastFrames:
    """The last frames of a stream, from which windows are cut: levels (spec_height, end - first).

    Windows whose last frame comes before `end` are complete; the others are silent from there on.
    """

    def __init__(self, audio: AudioSettings) -> None:
        self._audio, self._levels, self._first = audio, np.empty((audio.spec_height, 0), np.float32), 0

    @property
    def end(self) -> int:
        return self._first + self._levels.shape[1]

    def append(self, levels: np.ndarray) -> None:
        self._levels = np.concatenate([self._levels, levels], axis=1)

    def finish(self) -> None:
        pass

    def drop_before(self, frame: int) -> None:
        first = min(max(frame, self._first), self.end)
        self._levels, self._first = self._levels[:, first - self._first :], first

    def windows(self, frames: np.ndarray) -> np.ndarray:
        """Normalized spectrograms, float32 (n, height, width), of the windows that begin at those frames, int (n,)."""
        return normalize(windows_at(self._levels, self._first, frames, self._audio), self._audio)


def window_pieces(blocks: Iterable[np.ndarray], audio: AudioSettings, takes: Takes) -> Iterator[np.ndarray]:
    """Waveform blocks, float32 (samples,), as what windows of that kind are cut from."""
    return with_ends(blocks, audio) if takes == "waveforms" else level_frames(blocks, audio)


def pieces_from(pieces: Iterable[np.ndarray], audio: AudioSettings, takes: Takes, n: int) -> Iterator[np.ndarray]:
    """What window_pieces gave, from frame n on; before frame 0, there is silence."""
    return samples_from(pieces, audio, n) if takes == "waveforms" else _frames_from(pieces, audio, n)


def _frames_from(pieces: Iterable[np.ndarray], audio: AudioSettings, n: int) -> Iterator[np.ndarray]:
    if n < 0:
        yield np.full((audio.spec_height, -n), silence(audio), np.float32)
    for piece in pieces:
        n = max(0, n)
        if piece.shape[1] > n:
            yield piece[:, n:]
        n -= piece.shape[1]


class _Cutter:
    """Cuts windows out of what was added last."""

    def __init__(self, audio: AudioSettings, takes: Takes) -> None:
        self._audio = audio
        self.last: _LastFrames | LastSamples = (LastSamples if takes == "waveforms" else _LastFrames)(audio)

    @property
    def seconds(self) -> float:
        """Of sound read so far."""
        return max(self.last.end - 1, 1) / self._audio.frame_rate

    def windows(self, starts: np.ndarray) -> Windows:
        """The windows at these times (s); beyond the sound they are silent."""
        return Windows(starts, self.last.windows(frame_at(starts, self._audio)), self.seconds)


def cut_windows(
    pieces: Iterable[np.ndarray], audio: AudioSettings, hop: float, batch: int, takes: Takes = "spectrograms"
) -> Iterator[Windows]:
    """Cut what window_pieces gives into windows, one every `hop` seconds, at most `batch` at a time.

    The last window is filled up with silence. Holds a batch of windows in memory, whatever the recording's length.
    """
    cutter, k = _Cutter(audio, takes), 0  # k: index of the next window
    for piece in pieces:
        cutter.last.append(piece)
        while n_windows(cutter.seconds, audio.spec_duration, hop) > k + batch:  # another follows: these are whole
            yield cutter.windows(np.arange(k, k + batch) * hop)
            k += batch
            cutter.last.drop_before(int(frame_at(k * hop, audio)))
    cutter.last.finish()
    starts = window_starts(cutter.seconds, audio.spec_duration, hop)
    for i in range(k, len(starts), batch):
        yield cutter.windows(starts[i : i + batch])


def cut_at(
    pieces: Iterable[np.ndarray],
    audio: AudioSettings,
    starts: Sequence[float],
    batch: int,
    takes: Takes = "spectrograms",
) -> Iterator[Windows]:
    """Cut what window_pieces gives into windows at the given times (s, ascending), at most `batch` at a time.

    Beyond the start and the end of the sound, windows are silent. No pieces are read after the last window, so
    `seconds` falls short of the recording's duration where all windows lie before the end.
    """
    times, offsets = np.asarray(starts, float), frame_at(starts, audio)
    cutter, k = _Cutter(audio, takes), 0  # k: index of the next window
    for piece in pieces:
        cutter.last.append(piece)
        n_whole = int(np.searchsorted(offsets, cutter.last.end - audio.spec_width, side="right"))
        for i in range(k, n_whole, batch):
            yield cutter.windows(times[i : min(i + batch, n_whole)])
        k = max(k, n_whole)
        if k == len(offsets):
            return
        cutter.last.drop_before(int(offsets[k]))
    cutter.last.finish()
    for i in range(k, len(offsets), batch):
        yield cutter.windows(times[i : i + batch])


def recording_windows(
    path: str | Path,
    audio: AudioSettings,
    hop: float,
    batch: int,
    start: float = 0.0,
    note: reader.Note = lambda problem: None,
    takes: Takes = "spectrograms",
) -> Iterator[Windows]:
    """A recording's windows, as cut_windows gives them; times count from `start` (s). Raises AudioError."""
    return cut_windows(window_pieces(decoded(path, audio, start, note), audio, takes), audio, hop, batch, takes)


def decoded(
    path: str | Path, audio: AudioSettings, start: float = 0.0, note: reader.Note = lambda problem: None
) -> Iterator[np.ndarray]:
    """A recording's blocks at the settings' rate, decoded in another thread; see lib.audio.reader.stream."""
    return ahead(reader.stream(path, audio.sampling_rate, audio.channel, start, note, audio.needed_rate), BLOCKS_AHEAD)
