"""From scores to labels: stretches of a recording that a person can look at."""

from typing import NamedTuple

import numpy as np


class Label(NamedTuple):
    """A class heard from start_time to end_time (s), with the highest score of its windows."""

    name: str
    start_time: float
    end_time: float
    score: float


class Hits(NamedTuple):
    """Windows and classes that score high enough, as three arrays (n,): start (s), index of the class, score."""

    starts: np.ndarray
    columns: np.ndarray
    scores: np.ndarray


def find_hits(starts: np.ndarray, scores: np.ndarray, min_score: float) -> Hits:
    """The pairs of scores (n_windows, n_classes) that are min_score or more; starts: (n_windows,) s."""
    windows, columns = np.nonzero(scores >= min_score)
    return Hits(starts[windows], columns, scores[windows, columns])


def make_labels(hits: Hits, length: float, names: list[str], merge: bool) -> list[Label]:
    """Labels of hits in windows of `length` s, in the order of start time and class.

    merge: windows of a class that overlap or touch become one label.
    """
    labels: list[Label] = []
    for i in np.lexsort((hits.starts, hits.columns)):
        name, start, score = names[hits.columns[i]], float(hits.starts[i]), float(hits.scores[i])
        last = labels[-1] if labels else None
        if merge and last is not None and last.name == name and start <= last.end_time + 1e-6:
            labels[-1] = Label(name, last.start_time, start + length, max(last.score, score))
        else:
            labels.append(Label(name, start, start + length, score))
    return sorted(labels, key=lambda label: label.start_time)  # stable: of equal starts, classes stay in order


def audacity_text(labels: list[Label]) -> str:
    """An Audacity label file: start, end and `name;score`, separated by tabs."""
    return "".join(f"{start:.3f}\t{end:.3f}\t{name};{score:.3f}\n" for name, start, end, score in labels)
