"""From scores to labels: stretches of a recording that a person can look at.

A labeller takes the scores of a recording's windows or frames piece by piece and gives each label as soon as it is
final, so that memory does not grow with the recording's length.
"""

from collections.abc import Iterator
from math import ceil

import numpy as np

from lib.config.schema import InferSettings
from lib.core.errors import SettingsError
from lib.sound.labels import Label

TOUCHING = 1e-6
"""Seconds between windows that count as touching: times are not exact in binary."""
FRAME_SLACK = 1e-6
"""The same as a part of a frame."""


def window_labels(
    starts: np.ndarray, scores: np.ndarray, min_scores: np.ndarray, length: float, names: list[str]
) -> Iterator[Label]:
    """A label for each window and class that scores high enough.

    Args:
        starts: of the windows, (n,), s.
        scores: (n, n_classes).
        min_scores: from which each class is labelled, (n_classes,).
        length: of a window, s.
        names: of the classes.
    """
    windows, columns = np.nonzero(scores >= min_scores)
    values = starts[windows].tolist(), columns.tolist(), scores[windows, columns].tolist()
    for start, column, score in zip(*values, strict=True):
        yield Label(names[column], start, start + length, score)


class WindowLabeller:
    """Makes labels of windows that come in the order of their starts; arguments as those of window_labels.

    merge: whether overlapping or touching windows of a class become one label.
    """

    def __init__(self, names: list[str], min_scores: np.ndarray, length: float, merge: bool) -> None:
        self._names, self._min_scores, self._length, self._merge = names, min_scores, length, merge
        self._open: dict[str, Label] = {}  # the last label of each class, which further windows may prolong

    def add(self, starts: np.ndarray, scores: np.ndarray) -> list[Label]:
        """Take windows, starts (n,) in s and scores (n, n_classes); returns the labels that are final now."""
        labels = window_labels(starts, scores, self._min_scores, self._length, self._names)
        return [final for label in labels for final in self._merged(label)] if self._merge else list(labels)

    def _merged(self, label: Label) -> Iterator[Label]:
        last = self._open.get(label.name)
        if last is not None and label.start_time <= last.end_time + TOUCHING:
            label = Label(label.name, last.start_time, label.end_time, max(last.score, label.score))
        elif last is not None:
            yield last
        self._open[label.name] = label

    def finish(self) -> list[Label]:
        """The labels that are left at the end of the recording."""
        return list(self._open.values())


class StretchLabeller:
    """Makes a label of each stretch of frames that score high enough; it scores the highest of them.

    Args:
        names, min_scores: of the classes, as those of window_labels.
        fps: frames a second.
        first: index of the first frame.
    """

    def __init__(self, names: list[str], min_scores: np.ndarray, fps: float, first: int) -> None:
        self._names, self._min_scores, self._fps = names, min_scores, fps
        self._next = first  # frame
        self._open: dict[int, tuple[int, float]] = {}  # class -> first frame of its unfinished stretch, highest score

    def add(self, frames: np.ndarray) -> list[Label]:
        """Take the next frames, (n, n_classes); returns the labels that are final now."""
        if not len(frames):
            return []
        is_active = frames >= self._min_scores
        ended = [column for column in self._open if not is_active[0, column]]
        labels = [self._label(column, *self._open.pop(column), self._next) for column in ended]
        edges = np.diff(np.pad(is_active.T.astype(np.int8), ((0, 0), (1, 1))))
        columns, starts = np.nonzero(edges == 1)
        ends = np.nonzero(edges == -1)[1]
        for column, start, end in zip(columns.tolist(), starts.tolist(), ends.tolist(), strict=True):
            first, score = self._open.pop(column, (self._next + start, -np.inf))
            score = max(score, float(frames[start:end, column].max()))
            if end < len(frames):
                labels.append(self._label(column, first, score, self._next + end))
            else:
                self._open[column] = first, score
        self._next += len(frames)
        return labels

    def finish(self) -> list[Label]:
        """The labels that are left at the end of the recording."""
        return [self._label(column, *stretch, self._next) for column, stretch in self._open.items()]

    def _label(self, column: int, first: int, score: float, end: int) -> Label:
        return Label(self._names[column], first / self._fps, end / self._fps, score)


class SegmentLabeller:
    """Makes labels of one length, on a grid from the start of the recording. A frame belongs where its centre lies.

    The last segment is filled up with frames that score 0, as windows are with silence.

    Args:
        names, min_scores, fps, first: as those of StretchLabeller.
        length: of a label, s.
        quantile: in 0..1, of its frames' scores that a label scores; None: the maximum.
    """

    def __init__(
        self, names: list[str], min_scores: np.ndarray, fps: float, first: int, length: float, quantile: float | None
    ) -> None:
        self._names, self._min_scores, self._fps = names, min_scores, fps
        self._length, self._quantile = length, quantile
        self._next = int((first + 0.5) / (fps * length))  # segment
        self._frames = np.zeros((first - self._border(self._next), len(names)), np.float32)  # of it so far

    def _border(self, segment: int) -> int:
        """The first frame of a segment."""
        return ceil(segment * self._length * self._fps - 0.5 - FRAME_SLACK)

    def add(self, frames: np.ndarray) -> list[Label]:
        """Take the next frames, (n, n_classes); returns the labels that are final now."""
        labels: list[Label] = []
        self._frames = np.concatenate([self._frames, frames])
        while (size := self._size()) <= len(self._frames):
            labels += self._labels(self._frames[:size])
            self._frames = self._frames[size:]
        return labels

    def finish(self) -> list[Label]:
        """The labels that are left at the end of the recording."""
        missing = self._size() - len(self._frames)
        return self._labels(np.pad(self._frames, ((0, missing), (0, 0)))) if len(self._frames) else []

    def _size(self) -> int:
        """Frames of the next segment."""
        return self._border(self._next + 1) - self._border(self._next)

    def _labels(self, frames: np.ndarray) -> list[Label]:
        """The labels of the next segment."""
        scores = frames.max(axis=0) if self._quantile is None else np.quantile(frames, self._quantile, axis=0)
        start, end = self._next * self._length, (self._next + 1) * self._length
        self._next += 1
        columns = np.flatnonzero(scores >= self._min_scores).tolist()
        return [Label(self._names[column], start, end, float(scores[column])) for column in columns]


def frame_labeller(
    names: list[str], min_scores: np.ndarray, fps: float, infer: InferSettings, first: int = 0
) -> StretchLabeller | SegmentLabeller:
    """A SegmentLabeller if there is an infer.segment_len, else a StretchLabeller.

    Raises SettingsError for a segment that is shorter than a frame.
    """
    if infer.segment_len is None:
        return StretchLabeller(names, min_scores, fps, first)
    if infer.segment_len * fps < 1 - FRAME_SLACK:
        fault = f"must be at least as long as a frame of the model ({1 / fps:g} s)"
        raise SettingsError(f"infer.segment_len = {infer.segment_len:g}", fault)
    return SegmentLabeller(names, min_scores, fps, first, infer.segment_len, infer.quantile)
