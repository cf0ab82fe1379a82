"""What is found in a recording, batch by batch: scores of windows for the table, and labels.

Scores are multiplied by a factor for each class (n_classes,), in 0..1. A class whose factor is 0 is left out: its
scores are -1, below any limit.
"""

from typing import Protocol

import numpy as np

from lib.audio.windows import n_windows
from lib.config import Infer
from lib.inference.frames import FrameGrid, Labeller, make_labeller
from lib.inference.labels import Label, WindowLabeller
from lib.inference.predictor import Predictor, final_frame, members_of
from lib.inference.streams import Batch

Scores = tuple[np.ndarray, np.ndarray]
"""Start times (n,) of windows in s, and their scores (n, n_classes)."""


class Findings(Protocol):
    def add(self, batch: Batch) -> tuple[Scores, list[Label]]:
        """Take a batch of windows in; returns scores of windows, and labels, that are final now."""

    def finish(self, seconds: float) -> tuple[Scores, list[Label]]:
        """What is left at the end of a recording of that duration."""


def findings(predictor: Predictor, factors: np.ndarray, min_scores: np.ndarray, infer: Infer, start: float) -> Findings:
    """What takes a recording's windows in, from `start` (s) on: by frames, where the models or settings give them.

    min_scores: (n_classes,), from which on each class is labelled.
    """
    min_scores = np.where(factors > 0, min_scores, np.float32(np.inf))
    if infer.initial_offsets:
        return _OffsetFindings(predictor, factors, min_scores, infer, start)
    if any(description.sed_fps for description in predictor.descriptions):
        return _FrameFindings(predictor, factors, min_scores, infer, start)
    return _WindowFindings(predictor, factors, min_scores, infer)


class _WindowFindings:
    """Labels of whole windows."""

    def __init__(self, predictor: Predictor, factors: np.ndarray, min_scores: np.ndarray, infer: Infer) -> None:
        names, length = predictor.class_names, predictor.description.audio.spec_duration
        self._predictor, self._factors = predictor, factors
        self._labeller = WindowLabeller(names, min_scores, length, infer.merge_labels)

    def add(self, batch: Batch) -> tuple[Scores, list[Label]]:
        starts = batch.windows.starts
        scores = _lowered(self._predictor.score_windows(batch.windows.spectrograms)[0], self._factors)
        return (starts, scores), self._labeller.add(starts, scores)

    def finish(self, seconds: float) -> tuple[Scores, list[Label]]:
        return _no_scores(self._predictor.class_names), self._labeller.finish()


class _FrameFindings:
    """Labels of frames, and scores of whole windows."""

    def __init__(
        self, predictor: Predictor, factors: np.ndarray, min_scores: np.ndarray, infer: Infer, start: float
    ) -> None:
        names, fps = predictor.class_names, predictor.sed_fps
        first = round(start * fps)
        self._predictor, self._factors, self._fps = predictor, factors, fps
        self._grid = FrameGrid(fps, len(names), first)
        self._labeller: Labeller = make_labeller(names, min_scores, fps, infer.segment_len, infer.quantile, first)
        self._offsets = infer.initial_offsets

    def add(self, batch: Batch) -> tuple[Scores, list[Label]]:
        scores, frames = self._take(batch)
        return scores, self._labeller.add(frames)

    def finish(self, seconds: float) -> tuple[Scores, list[Label]]:
        return _no_scores(self._predictor.class_names), self._last_labels(self._last_frames(seconds))

    def _take(self, batch: Batch) -> tuple[Scores, np.ndarray]:
        """The scores of a batch's windows, and of the frames that are final now."""
        members = members_of(batch.group, self._offsets, len(self._predictor))
        scores, frames = self._predictor.frames_of(batch.windows.spectrograms, members)
        self._grid.add(frames * self._factors[:, None], batch.windows.starts, len(members))
        return (batch.windows.starts, _lowered(scores, self._factors)), self._grid.take(final_frame(batch, self._fps))

    def _last_frames(self, seconds: float) -> np.ndarray:
        return self._grid.take(round(seconds * self._fps))

    def _last_labels(self, frames: np.ndarray) -> list[Label]:
        return [*self._labeller.add(frames), *self._labeller.finish()]


class _OffsetFindings(_FrameFindings):
    """Labels of frames where each model takes windows of its own.

    The scores for the table are those of windows on the usual grid all the same: the highest of the window's frames.
    """

    def __init__(
        self, predictor: Predictor, factors: np.ndarray, min_scores: np.ndarray, infer: Infer, start: float
    ) -> None:
        super().__init__(predictor, factors, min_scores, infer, start)
        length = predictor.description.audio.spec_duration
        self._start, self._length, self._hop = start, length, length - infer.overlap
        self._k = 0  # the window to come
        self._first = round(start * self._fps)
        self._held = np.zeros((0, len(predictor.class_names)), np.float32)  # frames from self._first on

    def add(self, batch: Batch) -> tuple[Scores, list[Label]]:
        frames = self._take(batch)[1]
        self._hold(frames)
        n = 0
        while self._border(self._k + n, self._length) <= self._first + len(self._held):
            n += 1
        return self._windows(n), self._labeller.add(frames)

    def finish(self, seconds: float) -> tuple[Scores, list[Label]]:
        frames = self._last_frames(seconds)
        self._hold(frames)
        n = n_windows(seconds - self._start, self._length, self._hop) - self._k
        return self._windows(max(0, n)), self._last_labels(frames)

    def _hold(self, frames: np.ndarray) -> None:
        self._held = np.concatenate([self._held, frames])

    def _border(self, k: int, after: float = 0.0) -> int:
        """The frame at which window k begins, or `after` seconds later."""
        return round((self._start + k * self._hop + after) * self._fps)

    def _windows(self, n: int) -> Scores:
        """The next n windows, which lie in the frames that are held, or beyond the end of all frames."""
        windows = range(self._k, self._k + n)
        scores = np.zeros((n, self._held.shape[1]), np.float32)
        for i, k in enumerate(windows):
            low, high = self._border(k) - self._first, self._border(k, self._length) - self._first
            scores[i] = self._held[low:high].max(axis=0, initial=0)
        self._k += n
        done = min(self._border(self._k) - self._first, len(self._held))
        self._held, self._first = self._held[done:], self._first + done
        return np.array([self._start + k * self._hop for k in windows]), _without_dropped(scores, self._factors)


def _lowered(scores: np.ndarray, factors: np.ndarray) -> np.ndarray:
    return _without_dropped(scores * factors, factors)


def _without_dropped(scores: np.ndarray, factors: np.ndarray) -> np.ndarray:
    return np.where(factors > 0, scores, np.float32(-1))


def _no_scores(names: list[str]) -> Scores:
    return np.zeros(0), np.zeros((0, len(names)), np.float32)
