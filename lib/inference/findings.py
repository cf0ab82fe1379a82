"""Sounds found in a recording, part by part: scores of windows, and labels."""

from collections.abc import Iterable, Iterator

import numpy as np

from lib.inference.labelling import WindowLabeller, frame_labeller
from lib.inference.predictor import Predictor
from lib.inference.streams import Batch
from lib.results.results_store import PartialResult
from lib.sound.grid import n_windows
from lib.sound.labels import ending_with


def find_sounds(
    predictor: Predictor, batches: Iterable[Batch], factors: np.ndarray, is_excluded: np.ndarray
) -> Iterator[PartialResult]:
    """Scores and labels of a recording, whose windows come in batches from infer.start_seconds on.

    Labels are made of frames if a model scores them, or if there are infer.initial_offsets, else of whole windows.

    Args:
        predictor: the models.
        batches: windows, in order.
        factors: float32 (n_classes,), 0..1, of the scores; a class whose factor is 0 gets no labels.
        is_excluded: bool (n_classes,), of classes whose scores are to be 0.
    """
    factors = np.where(is_excluded, np.float32(0), factors)
    min_scores = np.where(factors > 0, predictor.min_scores, np.float32(np.inf))
    has_frames = predictor.scores_frames or predictor.cfg.infer.initial_offsets
    return (_frame_parts if has_frames else _window_parts)(predictor, batches, factors, min_scores)


def _window_parts(
    predictor: Predictor, batches: Iterable[Batch], factors: np.ndarray, min_scores: np.ndarray
) -> Iterator[PartialResult]:
    length, seconds, nothing = predictor.description.audio.spec_duration, 0.0, np.zeros((0, len(factors)), np.float32)
    labeller = WindowLabeller(predictor.class_names, min_scores, length, predictor.cfg.infer.merge_labels)
    for _, (starts, windows, seconds), _ in batches:
        scores = predictor.score_windows(windows)[0] * factors
        yield PartialResult(scores, ending_with(seconds, labeller.add(starts, scores)), seconds)
    yield PartialResult(nothing, ending_with(seconds, labeller.finish()), seconds)


def _frame_parts(
    predictor: Predictor, batches: Iterable[Batch], factors: np.ndarray, min_scores: np.ndarray
) -> Iterator[PartialResult]:
    infer, fps, length = predictor.cfg.infer, predictor.sed_fps, predictor.description.audio.spec_duration
    first, seconds = round(infer.start_seconds * fps), 0.0
    labeller = frame_labeller(predictor.class_names, min_scores, fps, infer, first)
    maxima = _WindowMaxima(len(factors), fps, infer.start_seconds, length, length - infer.overlap)
    for scores, frames, seconds in predictor.stream_frames(batches, infer.initial_offsets, first):
        frames *= factors
        scores = maxima.add(frames) if infer.initial_offsets else scores * factors
        yield PartialResult(scores, ending_with(seconds, labeller.add(frames)), seconds)
    rest = maxima.finish(seconds) if infer.initial_offsets else np.zeros((0, len(factors)), np.float32)
    yield PartialResult(rest, ending_with(seconds, labeller.finish()), seconds)


class _WindowMaxima:
    """Scores of windows on the usual grid, where each model takes other windows: the highest of a window's frames.

    start: of the first window, s; length, hop: of the windows, s.
    """

    def __init__(self, n_classes: int, fps: float, start: float, length: float, hop: float) -> None:
        self._fps, self._start, self._length, self._hop = fps, start, length, hop
        self._next = 0  # window
        self._first = round(start * fps)
        self._frames = np.zeros((0, n_classes), np.float32)  # from self._first on

    def add(self, frames: np.ndarray) -> np.ndarray:
        """The windows, (n, n_classes), that are certain to exist and complete now that these frames have come."""
        self._frames = np.concatenate([self._frames, frames])
        n = 0
        while self._frame(self._next + n + 1, self._length) <= self._first + len(self._frames):
            n += 1
        return self._take(n)

    def finish(self, seconds: float) -> np.ndarray:
        """The windows that are left in a recording of that duration."""
        return self._take(max(0, n_windows(seconds - self._start, self._length, self._hop) - self._next))

    def _frame(self, window: int, after: float = 0.0) -> int:
        """The frame at which a window begins, or `after` seconds later."""
        return round((self._start + window * self._hop + after) * self._fps)

    def _take(self, n: int) -> np.ndarray:
        scores = np.zeros((n, self._frames.shape[1]), np.float32)
        for row in scores:
            low, high = self._frame(self._next) - self._first, self._frame(self._next, self._length) - self._first
            row[:] = self._frames[low:high].max(axis=0, initial=0)
            self._next += 1
        done = min(self._frame(self._next) - self._first, len(self._frames))
        self._frames, self._first = self._frames[done:], self._first + done
        return scores
