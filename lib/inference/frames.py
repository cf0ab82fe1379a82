"""Scores of frames: from overlapping windows to one grid for the recording.

The grid has `fps` frames a second; frame k lasts from k / fps to (k + 1) / fps seconds.
"""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array

from lib.core.errors import EarshotError


class FrameGrid:
    """The mean, for each frame, of the scores that windows give it; 0 where none does.

    Windows are added in the order of time, and frames taken as soon as they are final, so that memory does not grow
    with the length of the recording.

    first: index of the first frame that is wanted.
    """

    def __init__(self, fps: float, n_classes: int, first: int = 0) -> None:
        self._fps = fps
        self._first = first
        self._sums = np.zeros((0, n_classes))
        self._weights = np.zeros(0)

    def add(self, frame_scores: np.ndarray, starts: np.ndarray, weight: float = 1.0) -> None:
        """Add windows: scores (n, n_classes, n_frames), start times (n,), s, and their weight in the mean."""
        n, n_classes, length = frame_scores.shape
        first = np.rint(starts * self._fps).astype(np.int64) - self._first
        places = (first[:, None] + np.arange(length)).ravel()
        values = frame_scores.transpose(0, 2, 1).reshape(-1, n_classes)
        inside = np.flatnonzero(places >= 0)  # others lie before the first wanted frame
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
        """Scores, float32 (n, n_classes), of the frames before index `end` that have not been taken yet."""
        n = max(0, end - self._first)
        sums, weights = self._sums[:n], self._weights[:n]
        frames = np.zeros((n, sums.shape[1]), np.float32)
        frames[: len(sums)] = sums / np.maximum(weights, 1e-12)[:, None]
        self._sums, self._weights, self._first = self._sums[n:], self._weights[n:], self._first + n
        return frames


def to_global_frames(
    frame_scores: np.ndarray, starts: Sequence[float] | np.ndarray, seconds: float, fps: float
) -> np.ndarray:
    """Scores of a recording's frames, float32 (round(fps * seconds), n_classes); no frames if there are no windows.

    frame_scores: of the windows, (n_windows, n_classes, n_frames) in 0..1; starts: of the windows, (n_windows,), s.
    """
    frame_scores = np.asarray(frame_scores)
    if frame_scores.ndim != 3:
        raise EarshotError(f"frame scores of shape {frame_scores.shape}", "must be (n, n_classes, n_frames)")
    n_windows, n_classes, _ = frame_scores.shape
    grid = FrameGrid(fps, n_classes)
    if n_windows:
        grid.add(frame_scores, np.asarray(starts, float))
    return grid.take(round(fps * seconds) if n_windows else 0)
