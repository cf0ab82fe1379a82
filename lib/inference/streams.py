"""The windows of a recording, streamed, as the models of an ensemble take them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, tee
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lib.audio import reader
from lib.audio.reader import unusual
from lib.audio.spectrograms import Takes, Windows, cut_windows, decoded, pieces_from, window_pieces
from lib.config.schema import AudioSettings, InferSettings
from lib.core.errors import EarshotError, Problem
from lib.core.incremental import Progress, Source


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
    takes: Takes = "spectrograms",
) -> Iterator[Batch]:
    """A recording's windows from `start` on; none if it is over by then.

    Args:
        hop: s from one window to the next.
        batch: windows at a time, at most.
        offsets: the models of group g take windows of their own, from offsets[g] (s) on. Where that leaves the start of
            the recording uncovered, there is one more window before, filled up with silence. None: there is one group.
        note: called with a Problem for what was repaired on the way.
        takes: what the models take of each window.

    Raises AudioError if the recording cannot be read.
    """
    blocks = decoded(path, audio, start, note)
    first = next(blocks, None)
    if first is None:
        return
    offsets = offsets or [0.0]
    copies = tee(window_pieces(chain([first], blocks), audio, takes), len(offsets))
    streams = [
        _windows_from(pieces, audio, hop, offset, batch, takes) for pieces, offset in zip(copies, offsets, strict=True)
    ]
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
    takes: Takes = "spectrograms"

    def read(self, source: Source) -> Iterator[Batch | Progress | Problem]:
        """A recording's windows, how far it is read, and what is unusual about it. Raises AudioError."""
        path, audio, problems = source.item.path, self.audio, list[Problem]()
        seconds, is_silent = 0.0, True
        total = reader.probe(path).seconds
        options = self.start, self.offsets, problems.append, self.takes
        for batch in stream_windows(path, audio, self.hop, self.batch, *options):
            seconds, is_silent = batch.windows.seconds, is_silent and not batch.windows.inputs.any()
            yield batch
            yield Progress(seconds - self.start, max(total - self.start, 0.0))
        if not seconds:
            problems.append(unusual(path, f"is over before infer.start_seconds ({self.start:g} s)"))
            shape = (
                (0, audio.spec_height, audio.spec_width) if self.takes == "spectrograms" else (0, audio.window_samples)
            )
            yield Batch(0, Windows(np.zeros(0), np.zeros(shape, np.float32), total), np.inf)  # tells the duration
        elif is_silent:
            problems.append(unusual(path, "is silent from start to end"))
        yield from problems


def window_reader(
    audio: AudioSettings, infer: InferSettings, n_models: int, takes: Takes = "spectrograms"
) -> WindowReader:
    """What reads recordings for an ensemble of that many models. Raises EarshotError as hop_of."""
    hop = hop_of(audio, infer.overlap)
    if not infer.initial_offsets:
        return WindowReader(audio, hop, infer.batch_size, infer.start_seconds, takes=takes)
    offsets = infer.initial_offsets[:n_models]
    return WindowReader(audio, audio.spec_duration, infer.batch_size, infer.start_seconds, offsets, takes)


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
    pieces: Iterable[np.ndarray], audio: AudioSettings, hop: float, offset: float, batch: int, takes: Takes
) -> Iterator[Windows]:
    """Windows every `hop` s, one of which starts at `offset`."""
    start = offset - hop if 0 < offset < hop < offset + audio.spec_duration else offset
    rest = pieces_from(pieces, audio, takes, round(start * audio.frame_rate))
    first = next(rest, None)
    if first is not None:
        for windows in cut_windows(chain([first], rest), audio, hop, batch, takes):
            yield _later(windows, start)


def _later(windows: Windows, seconds: float) -> Windows:
    return windows._replace(starts=windows.starts + seconds, seconds=windows.seconds + seconds) if seconds else windows
