"""The sound of windows, cut out of a stream in constant memory, on the grid of frames of lib.audio.spectrograms.

A window that begins at frame k begins at sample k * hop_length. Its waveform, float32 (window_samples + 2 * margin,),
has audio.margin samples on either side, too, so that it holds all that the window's frames hear. Beyond the sound,
windows are silent.
"""

from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np

from lib.config.schema import AudioSettings


def with_ends(blocks: Iterable[np.ndarray], audio: AudioSettings) -> Iterator[np.ndarray]:
    """Waveform blocks, float32 (samples,), as LastSamples takes them: with a silent margin at either end."""
    silence = np.zeros(audio.margin, np.float32)
    return samples_from(chain([silence], blocks, [silence]), audio, 0)


def samples_from(pieces: Iterable[np.ndarray], audio: AudioSettings, frame: int) -> Iterator[np.ndarray]:
    """The samples of pieces from a frame's window on; before frame 0, there is silence.

    Nothing comes if they do not last for a frame.
    """
    rest = np.zeros(max(0, -frame) * audio.hop_length, np.float32)
    n_skipped, is_long_enough = max(0, frame) * audio.hop_length, False
    for piece in pieces:
        rest = np.concatenate([rest, piece[n_skipped:]])
        n_skipped = max(0, n_skipped - len(piece))
        is_long_enough |= len(rest) >= audio.win_length
        if is_long_enough:
            yield rest
            rest = rest[:0]


class LastSamples:
    """The last samples of a stream, from which windows are cut.

    Attributes:
        end: windows whose last frame comes before that one are complete.
    """

    def __init__(self, audio: AudioSettings) -> None:
        self._audio, self._samples, self._first = audio, np.empty(0, np.float32), 0
        self._length = audio.window_samples + 2 * audio.margin
        self.end = 0

    def append(self, samples: np.ndarray) -> None:
        self._samples = np.concatenate([self._samples, samples])
        n = self._first + len(self._samples)
        self.end = max(0, (n - self._length) // self._audio.hop_length + self._audio.spec_width)

    def finish(self) -> None:
        """There are no more samples; `end` is the number of frames that they hold."""
        n = self._first + len(self._samples)
        self.end = 1 + (n - self._audio.win_length) // self._audio.hop_length

    def drop_before(self, frame: int) -> None:
        first = min(max(frame * self._audio.hop_length, self._first), self._first + len(self._samples))
        self._samples, self._first = self._samples[first - self._first :], first

    def windows(self, frames: np.ndarray) -> np.ndarray:
        """Waveforms, float32 (n, window_samples + 2 * margin), of the windows that begin at those frames, int (n,)."""
        waveforms = np.zeros((len(frames), self._length), np.float32)
        for waveform, start in zip(waveforms, (frames * self._audio.hop_length - self._first).tolist(), strict=True):
            low, high = max(start, 0), min(start + self._length, len(self._samples))
            if low < high:
                waveform[low - start : high - start] = self._samples[low:high]
        return waveforms
