"""Labels: sounds that a model found in recordings."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np

RESULTS_FILE = "results.db"
"""The results store in a folder of labels, which marks it as what the infer stage wrote; see lib.results."""
RECORDINGS_FILE = "recordings.csv"
"""The table of what became of each recording in such a folder, which marks it if the store is gone."""
RECORDING_COLUMNS = ["recording", "path", "seconds", "status", "reason", "labels"]
"""How that table begins."""


class Label(NamedTuple):
    """A class from start_time to end_time (s), with the highest score (0..1) of its windows or frames."""

    name: str
    start_time: float
    end_time: float
    score: float


def ending_with(seconds: float, labels: Iterable[Label]) -> list[Label]:
    """Labels within the first seconds of a recording, whose last window or frame may reach beyond its end.

    >>> ending_with(4.5, [Label("owl", 3.0, 6.0, 0.9), Label("owl", 4.5, 7.5, 0.8)])
    [Label(name='owl', start_time=3.0, end_time=4.5, score=0.9)]
    """
    return [label._replace(end_time=min(label.end_time, seconds)) for label in labels if label.start_time < seconds]


class RecordingLabels(NamedTuple):
    """What a model found in a recording.

    Args:
        recording: its name.
        path: its file.
        seconds: its duration.
        labels: with class names, by start time and class; may be iterated once.
        windows: start times float64 (n,), s, and scores float32 (n, n_classes) of its windows, in blocks; may be
            iterated once.
    """

    recording: str
    path: Path
    seconds: float
    labels: Iterable[Label]
    windows: "Iterable[tuple[np.ndarray, np.ndarray]]" = ()
