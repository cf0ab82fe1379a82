"""The windows of a recording, streamed, as the models of an ensemble take them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, tee
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lib.audio import reader
from lib.audio.reader import unusual
from lib.audio.spectrograms import BLOCKS_AHEAD, Windows, cut_windows, level_frames, silence
from lib.config.schema import AudioSettings, InferSettings
from lib.core.errors import EarshotError, Problem
from lib.core.incremental import Progress, Source
from lib.core.parallel import ahead


class Batch(NamedTuple):
    """Windows for some of the models.

    Args:
        group: which models, see stream_windows.
        windows: start at times from the start of the recording.
        final: s; no later window, for whatever models, starts before it.
    """

    group: int
    windows: Windows
    final: float


def hop_of(audio: AudioSettings, overlap: float) -> float:
    """Seconds from one window to the next. Raises EarshotError if windows cannot overlap by infer.overlap."""
    if overlap >= audio.spec_duration:
        limit = f"must be below the model's spec_duration ({audio.spec_duration:g} s)"
        raise EarshotError(f"infer.overlap = {overlap:g}", limit)
    return audio.spec_duration - overlap


def stream_windows(
    path: str | Path,
    audio: AudioSettings,
    hop: float,
    batch: int,
    start: float = 0.0,
    offsets: list[float] | None = None,
    note: reader.Note = lambda problem: None,
) -> Iterator[Batch]:
    """A recording's windows from `start` on; none if it is over by then.

    Args:
        hop: s from one window to the next.
        batch: windows at a time, at most.
        offsets: the models of group g take windows of their own, from offsets[g] (s) on. Where that leaves the start of
            the recording uncovered, there is one more window before, filled up with silence. None: there is one group.
        note: called with a Problem for what was repaired on the way.

    Raises AudioError if the recording cannot be read.
    """
    blocks = ahead(reader.stream(path, audio.sampling_rate, audio.channel, start, note), BLOCKS_AHEAD)
    first = next(blocks, None)
    if first is None:
        return
    offsets = offsets or [0.0]
    copies = tee(level_frames(chain([first], blocks), audio), len(offsets))
    streams = [_windows_from(pieces, audio, hop, offset, batch) for pieces, offset in zip(copies, offsets, strict=True)]
    for group, windows, final in _in_turn(streams, hop):
        yield Batch(group, _later(windows, start), final + start)


@dataclass(frozen=True)
class WindowReader:
    """Reads windows of recordings for lib.core.incremental; see stream_windows."""

    audio: AudioSettings
    hop: float
    batch: int
    start: float = 0.0
    offsets: list[float] | None = None

    def read(self, source: Source) -> Iterator[Batch | Progress | Problem]:
        """A recording's windows, how far it is read, and what is unusual about it. Raises AudioError."""
        path, audio, problems = source.item.path, self.audio, list[Problem]()
        seconds, loudest = 0.0, 0.0
        total = reader.probe(path).seconds
        for batch in stream_windows(path, audio, self.hop, self.batch, self.start, self.offsets, problems.append):
            seconds, loudest = batch.windows.seconds, max(loudest, float(batch.windows.spectrograms.max()))
            yield batch
            yield Progress(seconds - self.start, max(total - self.start, 0.0))
        if not seconds:
            problems.append(unusual(path, f"is over before infer.start_seconds ({self.start:g} s)"))
            nothing = np.zeros((0, audio.spec_height, audio.spec_width), np.float32)
            yield Batch(0, Windows(np.zeros(0), nothing, total), np.inf)  # tells the duration
        elif loudest == 0:
            problems.append(unusual(path, "is silent from start to end"))
        yield from problems


def window_reader(audio: AudioSettings, infer: InferSettings, n_models: int) -> WindowReader:
    """What reads recordings for an ensemble of that many models. Raises EarshotError as hop_of."""
    hop = hop_of(audio, infer.overlap)
    if not infer.initial_offsets:
        return WindowReader(audio, hop, infer.batch_size, infer.start_seconds)
    offsets = infer.initial_offsets[:n_models]
    return WindowReader(audio, audio.spec_duration, infer.batch_size, infer.start_seconds, offsets)


def _in_turn(streams: list[Iterator[Windows]], hop: float) -> Iterator[Batch]:
    """The streams' windows by turns, so that none gets far ahead of the others."""
    next_starts = [-hop] * len(streams)
    running = dict(enumerate(streams))
    while running:
        for group in list(running):
            windows = next(running[group], None)
            if windows is None:
                del running[group]
                next_starts[group] = np.inf
            else:
                next_starts[group] = float(windows.starts[-1]) + hop
                yield Batch(group, windows, min(next_starts))


def _windows_from(
    pieces: Iterable[np.ndarray], audio: AudioSettings, hop: float, offset: float, batch: int
) -> Iterator[Windows]:
    """Windows every `hop` s, one of which starts at `offset`."""
    start = offset - hop if 0 < offset < hop < offset + audio.spec_duration else offset
    frames = _frames_from(pieces, audio, round(start * audio.frame_rate))
    first = next(frames, None)
    if first is not None:
        for windows in cut_windows(chain([first], frames), audio, hop, batch):
            yield _later(windows, start)


def _frames_from(pieces: Iterable[np.ndarray], audio: AudioSettings, n: int) -> Iterator[np.ndarray]:
    """Frames from index n on; before the first, there is silence."""
    if n < 0:
        yield np.full((audio.spec_height, -n), silence(audio), np.float32)
    for piece in pieces:
        n = max(0, n)
        if piece.shape[1] > n:
            yield piece[:, n:]
        n -= piece.shape[1]


def _later(windows: Windows, seconds: float) -> Windows:
    return windows._replace(starts=windows.starts + seconds, seconds=windows.seconds + seconds) if seconds else windows
