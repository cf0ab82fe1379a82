"""From scores to labels: stretches of a recording that a person can look at."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

LABEL_FIELDS = {"names": "name", "codes": "code", "alt_names": "alt_name", "alt_codes": "alt_code"}
"""What classes can be called by, and the key of a class that holds it."""

SLACK = 1e-6
"""Seconds by which windows that touch may seem apart."""


class Label(NamedTuple):
    """A class heard from start_time to end_time (s), with the highest score of its windows or frames."""

    name: str
    start_time: float
    end_time: float
    score: float


class Hits(NamedTuple):
    """Windows and classes that score high enough, as three arrays (n,): start (s), index of the class, score."""

    starts: np.ndarray
    columns: np.ndarray
    scores: np.ndarray


def find_hits(starts: np.ndarray, scores: np.ndarray, min_score: float | np.ndarray) -> Hits:
    """The pairs of scores (n_windows, n_classes) that are min_score or more; starts: (n_windows,) s.

    min_score: of all classes, or of each, (n_classes,).
    """
    windows, columns = np.nonzero(scores >= min_score)
    return Hits(starts[windows], columns, scores[windows, columns])


def window_labels(hits: Hits, length: float, names: list[str]) -> Iterator[Label]:
    """A label for each of some hits in windows of `length` s."""
    for start, column, score in zip(*(values.tolist() for values in hits), strict=True):
        yield Label(names[column], start, start + length, score)


class WindowLabeller:
    """Makes labels of windows that come one batch after the other, in the order of their starts.

    min_scores: (n_classes,), from which on a class is labelled. length: of a window, s. merge: windows of a class that
    overlap or touch become one label.
    """

    def __init__(self, names: list[str], min_scores: np.ndarray, length: float, merge: bool) -> None:
        self._names, self._min_scores, self._length, self._merge = names, min_scores, length, merge
        self._open: dict[str, Label] = {}  # the last label of each class, to which windows may still be added

    def add(self, starts: np.ndarray, scores: np.ndarray) -> list[Label]:
        """The labels that are final now that these windows, starts (n,) in s and scores (n, n_classes), have come."""
        labels = window_labels(find_hits(starts, scores, self._min_scores), self._length, self._names)
        return [label for one in labels for label in self._joined(one)] if self._merge else list(labels)

    def _joined(self, label: Label) -> Iterator[Label]:
        last = self._open.get(label.name)
        if last is not None and label.start_time <= last.end_time + SLACK:
            label = Label(label.name, last.start_time, label.end_time, max(last.score, label.score))
        elif last is not None:
            yield last
        self._open[label.name] = label

    def finish(self) -> list[Label]:
        """The labels that are final now that the recording is at its end."""
        return list(self._open.values())


def class_fields(classes: list[dict[str, str]]) -> dict[str, list[str]]:
    """What each class is called, by label field. Without a code or other name it goes by its name, without an other
    code by its code.
    """
    fields = {field: [entry.get(key, "") for entry in classes] for field, key in LABEL_FIELDS.items()}
    for field, instead in (("codes", "names"), ("alt_names", "names"), ("alt_codes", "codes")):
        fields[field] = [own or other for own, other in zip(fields[field], fields[instead], strict=True)]
    return fields


def find_class(label: str, fields: dict[str, list[str]], first: str = "names") -> str | None:
    """The name of the class that a label means in any of the label fields, first of all in `first`; None: of no class.

    fields: as class_fields gives them.
    """
    for field in (first, *fields):
        if label in fields[field]:
            return fields["names"][fields[field].index(label)]
    return None
