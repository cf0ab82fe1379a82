"""What the training database stores of each window of a recording: its spectrogram and, if asked for, its sound."""

from collections.abc import Iterator, Sequence
from itertools import chain, islice, tee
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lib.audio import reader
from lib.audio.spectrograms import Takes, Windows, cut_at, cut_windows, decoded, window_pieces
from lib.config.schema import AudioSettings

WINDOWS_AT_ONCE = 64
WITH_SOUND_AT_ONCE = 16


class WindowValues(NamedTuple):
    """A batch of windows.

    Args:
        starts: float64 (n,), s.
        spectrograms: float32 (n, spec_height, spec_width) in 0..1.
        sounds: float32 (n, window_samples + 2 * margin), see lib.audio.window_sounds; or None for each.
        seconds: of sound read so far; in a recording's last batch, its duration.
    """

    starts: np.ndarray
    spectrograms: np.ndarray
    sounds: Sequence[np.ndarray | None]
    seconds: float


def window_values(
    path: str | Path,
    audio: AudioSettings,
    sound: bool,
    windows: float | Sequence[float],
    note: reader.Note = lambda problem: None,
) -> Iterator[WindowValues]:
    """The windows of a recording, in constant memory; it is decoded once.

    Args:
        path: the recording.
        audio: settings.
        sound: whether the sound of the windows is wanted, too.
        windows: seconds from one window to the next, or start times (s, ascending).
        note: called with a Problem for what was repaired on the way.

    Raises AudioError.
    """
    blocks = decoded(path, audio, note=note)
    if not sound:
        for starts, spectrograms, seconds in _cut(blocks, audio, "spectrograms", windows, WINDOWS_AT_ONCE):
            yield WindowValues(starts, spectrograms, [None] * len(starts), seconds)
        return
    blocks, again = tee(blocks)
    batches = _cut(again, audio, "waveforms", windows, WITH_SOUND_AT_ONCE)
    sounds = chain.from_iterable(batch.inputs for batch in batches)
    for starts, spectrograms, seconds in _cut(blocks, audio, "spectrograms", windows, WITH_SOUND_AT_ONCE):
        yield WindowValues(starts, spectrograms, list(islice(sounds, len(starts))), seconds)


def _cut(
    blocks: Iterator[np.ndarray], audio: AudioSettings, takes: Takes, windows: float | Sequence[float], batch: int
) -> Iterator[Windows]:
    pieces = window_pieces(blocks, audio, takes)
    if isinstance(windows, int | float):
        return cut_windows(pieces, audio, windows, batch, takes)
    return cut_at(pieces, audio, windows, batch, takes)
