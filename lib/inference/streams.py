"""The windows of a recording as the models of an ensemble take them, streamed."""

from collections.abc import Iterable, Iterator
from itertools import chain, tee
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lib.audio import reader
from lib.audio.spectrogram import BLOCKS_AHEAD, Windows, cut_windows, level_frames, silence
from lib.config import Audio
from lib.errors import EarshotError
from lib.parallel import ahead


class Batch(NamedTuple):
    """Windows for some of the models. group: which models; see stream_windows. final: no window that is still to come,
    for whatever models, begins before that time (s).
    """

    group: int
    windows: Windows
    final: float


def hop_of(audio: Audio, overlap: float) -> float:
    """Seconds from one window to the next. Raises EarshotError if infer.overlap is none that the windows can have."""
    if overlap >= audio.spec_duration:
        limit = f"must be below the model's spec_duration ({audio.spec_duration:g} s)"
        raise EarshotError(f"infer.overlap = {overlap:g}: {limit}")
    return audio.spec_duration - overlap


def stream_windows(
    path: str | Path,
    audio: Audio,
    hop: float,
    batch: int,
    start: float = 0.0,
    offsets: list[float] | None = None,
    note: reader.Note = lambda text: None,
) -> Iterator[Batch]:
    """A recording's windows from `start` on, at most `batch` at a time; no windows if it is over by then.

    Times count from the start of the recording. Without offsets, all models (group 0) take windows every `hop` s. With
    them, the models of group g take windows of their own: the first at offsets[g], the others every `hop` s from there;
    where that leaves the start of the recording uncovered, there is one more window before, filled up with silence.
    Raises AudioError if the recording cannot be read.
    """
    blocks = ahead(reader.stream(path, audio.sampling_rate, audio.channel, start, note), BLOCKS_AHEAD)
    first = next(blocks, None)
    if first is None:  # only behind the end of a recording
        return
    pieces = tee(level_frames(chain([first], blocks), audio), len(offsets or [0.0]))
    streams = [
        _windows_from(piece, audio, hop, offset, batch) for piece, offset in zip(pieces, offsets or [0.0], strict=True)
    ]
    for group, windows in _in_turn(streams, final := [-hop] * len(streams), hop):
        yield Batch(group, _later(windows, start), min(final) + start)


def _in_turn(streams: list[Iterator[Windows]], final: list[float], hop: float) -> Iterator[tuple[int, Windows]]:
    """The streams' windows by turns, so that none gets far ahead of the others; keeps up to date in `final` where each
    stream's next window begins.
    """
    running = dict(enumerate(streams))
    while running:
        for group in list(running):
            windows = next(running[group], None)
            if windows is None:
                del running[group]
                final[group] = np.inf
            else:
                final[group] = float(windows.starts[-1]) + hop
                yield group, windows


def _windows_from(
    pieces: Iterable[np.ndarray], audio: Audio, hop: float, offset: float, batch: int
) -> Iterator[Windows]:
    """Windows every `hop` s, one of which begins at `offset`."""
    begin = offset - hop if 0 < offset < hop < offset + audio.spec_duration else offset
    n = round(begin * audio.frame_rate)
    shifted = _without(pieces, n) if n > 0 else _with_silence(pieces, audio, -n)
    first = next(shifted, None)
    if first is None:
        return
    for windows in cut_windows(chain([first], shifted), audio, hop, batch):
        yield _later(windows, begin)


def _without(pieces: Iterable[np.ndarray], n: int) -> Iterator[np.ndarray]:
    for piece in pieces:
        if piece.shape[1] > n:
            yield piece[:, n:]
        n = max(0, n - piece.shape[1])


def _with_silence(pieces: Iterable[np.ndarray], audio: Audio, n: int) -> Iterator[np.ndarray]:
    if n:
        yield np.full((audio.spec_height, n), silence(audio), np.float32)
    yield from pieces


def _later(windows: Windows, seconds: float) -> Windows:
    return windows._replace(starts=windows.starts + seconds, seconds=windows.seconds + seconds) if seconds else windows
