"""Scores of frames: from windows that overlap to one grid for the recording, and from that to labels.

The grid has `fps` frames a second; frame k lasts from k / fps to (k + 1) / fps seconds. All of this takes a recording
piece by piece and gives what is final as soon as it is, so that memory does not grow with the recording's length.
"""

from math import ceil
from typing import Protocol

import numpy as np
from scipy.sparse import csr_array

from lib.errors import SettingsError
from lib.inference.labels import Label

SLACK = 1e-6
"""Of a frame, by which times may be off."""


class FrameGrid:
    """The mean, for each frame of the grid, of the scores that windows give it; 0 where none does.

    first: index of the first frame that is wanted.
    """

    def __init__(self, fps: float, n_classes: int, first: int = 0) -> None:
        self._fps = fps
        self._first = first
        self._sums = np.zeros((0, n_classes))
        self._weights = np.zeros(0)

    def add(self, frame_scores: np.ndarray, starts: np.ndarray, weight: float = 1.0) -> None:
        """Add windows: scores (n, n_classes, n_frames), start times (n,) in s. What lies before `first` is left out."""
        n, n_classes, length = frame_scores.shape
        places = (np.rint(np.asarray(starts, float) * self._fps).astype(np.int64) - self._first)[:, None]
        places = (places + np.arange(length)).ravel()
        values = frame_scores.transpose(0, 2, 1).reshape(-1, n_classes)
        inside = np.flatnonzero(places >= 0)
        if not len(inside):
            return
        places = places[inside]
        low, high = int(places.min()), int(places.max()) + 1
        if (missing := high - len(self._weights)) > 0:
            self._sums = np.pad(self._sums, ((0, missing), (0, 0)))
            self._weights = np.pad(self._weights, (0, missing))
        # A sparse matrix that sums, for each frame, the rows of values that belong to it.
        weights = np.full(len(inside), float(weight))
        gather = csr_array((weights, (places - low, inside)), shape=(high - low, n * length))
        self._sums[low:high] += gather @ values
        self._weights[low:high] += gather.sum(axis=1)

    def take(self, end: int) -> np.ndarray:
        """Scores, float32 (n, n_classes), of the frames before index `end` that were not taken yet."""
        n = max(0, end - self._first)
        sums, weights = self._sums[:n], self._weights[:n]
        frames = np.zeros((n, sums.shape[1]), np.float32)
        frames[: len(sums)] = sums / np.maximum(weights, 1e-12)[:, None]
        self._sums, self._weights, self._first = self._sums[n:], self._weights[n:], self._first + n
        return frames


def to_global_frames(frame_scores: np.ndarray, starts: np.ndarray, seconds: float, fps: float) -> np.ndarray:
    """Scores of a recording's frames, float32 (round(fps * seconds), n_classes); no frames if there are no windows.

    frame_scores: (n_windows, n_classes, n_frames) in 0..1; starts: of the windows, (n_windows,) s.
    """
    n_windows, n_classes, _ = frame_scores.shape
    grid = FrameGrid(fps, n_classes)
    if n_windows:
        grid.add(frame_scores, starts)
    return grid.take(round(fps * seconds) if n_windows else 0)


class Labeller(Protocol):
    """Makes labels of frames that come piece by piece."""

    def add(self, frames: np.ndarray) -> list[Label]:
        """The labels that are final now that these frames, (n, n_classes), have come."""

    def finish(self) -> list[Label]:
        """The labels that are final now that the recording is at its end."""


def make_labeller(
    names: list[str],
    min_scores: np.ndarray,
    fps: float,
    segment_len: float | None = None,
    quantile: float | None = None,
    first: int = 0,
) -> Labeller:
    """A labeller of frames from index `first` on. min_scores: (n_classes,), from which on a class is labelled.

    segment_len: length of each label (s), whose score is the maximum of its frames, or that quantile (0..1) of them;
    None: labels are as long as the sound. Raises SettingsError for a segment that is shorter than a frame.
    """
    if segment_len is None:
        return _Stretches(names, min_scores, fps, first)
    if segment_len * fps < 1 - SLACK:
        limit = f"must be at least as long as a frame of the model ({1 / fps:g} s)"
        raise SettingsError(f"infer.segment_len = {segment_len:g}: {limit}")
    return _Segments(names, min_scores, fps, segment_len, quantile, first)


class _Stretches:
    """A label for each stretch of frames that score high enough."""

    def __init__(self, names: list[str], min_scores: np.ndarray, fps: float, first: int) -> None:
        self._names, self._min_scores, self._fps = names, min_scores, fps
        self._n = first  # frames so far
        self._open: dict[int, tuple[int, float]] = {}  # class -> first frame of its unfinished stretch, highest score

    def add(self, frames: np.ndarray) -> list[Label]:
        labels: list[Label] = []
        if not len(frames):
            return labels
        active = frames >= self._min_scores
        before = np.zeros((1, frames.shape[1]), bool)
        before[0, list(self._open)] = True
        changes = np.diff(np.concatenate([before, active]).astype(np.int8), axis=0)
        for column in np.flatnonzero(active.any(axis=0) | before[0]).tolist():
            starts = np.flatnonzero(changes[:, column] == 1).tolist()
            ends = np.flatnonzero(changes[:, column] == -1).tolist()
            first, best = self._open.pop(column, (0, -np.inf))
            if before[0, column]:
                starts.insert(0, 0)
            for i, start in enumerate(starts):
                end = ends[i] if i < len(ends) else len(frames)
                best = max(best, float(frames[start:end, column].max(initial=-np.inf)))
                if not before[0, column] or i:
                    first = self._n + start
                if i < len(ends):
                    labels.append(self._label(column, first, self._n + end, best))
                    best = -np.inf
                else:
                    self._open[column] = first, best
        self._n += len(frames)
        return labels

    def finish(self) -> list[Label]:
        labels = [self._label(column, first, self._n, best) for column, (first, best) in self._open.items()]
        self._open = {}
        return labels

    def _label(self, column: int, first: int, end: int, score: float) -> Label:
        return Label(self._names[column], first / self._fps, end / self._fps, score)


class _Segments:
    """Labels of one length, on a grid that begins with the recording. A frame belongs where its centre lies.

    The last segment is filled up with frames that score 0, as windows are with silence.
    """

    def __init__(
        self,
        names: list[str],
        min_scores: np.ndarray,
        fps: float,
        segment_len: float,
        quantile: float | None,
        first: int,
    ) -> None:
        self._names, self._min_scores, self._fps = names, min_scores, fps
        self._length, self._quantile = segment_len, quantile
        self._k = int((first + 0.5) / (fps * segment_len))  # the segment to come
        self._held = np.zeros((first - self._border(self._k), len(names)), np.float32)  # its frames so far

    def _border(self, k: int) -> int:
        """The first frame of segment k."""
        return ceil(k * self._length * self._fps - 0.5 - SLACK)

    def add(self, frames: np.ndarray) -> list[Label]:
        labels: list[Label] = []
        held = np.concatenate([self._held, frames])
        while (size := self._border(self._k + 1) - self._border(self._k)) <= len(held):
            labels += self._labels(held[:size])
            held = held[size:]
        self._held = held
        return labels

    def finish(self) -> list[Label]:
        missing = self._border(self._k + 1) - self._border(self._k) - len(self._held)
        labels = self._labels(np.pad(self._held, ((0, missing), (0, 0)))) if len(self._held) else []
        self._held = self._held[:0]
        return labels

    def _labels(self, frames: np.ndarray) -> list[Label]:
        scores = frames.max(axis=0) if self._quantile is None else np.quantile(frames, self._quantile, axis=0)
        start, end = self._k * self._length, (self._k + 1) * self._length
        self._k += 1
        found = np.flatnonzero(scores >= self._min_scores).tolist()
        return [Label(self._names[column], start, end, float(scores[column])) for column in found]
