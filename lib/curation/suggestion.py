"""A suggestion: a sound that is worth a decision."""

import heapq
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lib.sound.classes import ClassList

if TYPE_CHECKING:
    import pandas as pd

TOUCHING = 1e-3
"""Seconds that two stretches may share and still count as apart."""


class Suggestion(NamedTuple):
    """A sound to decide about.

    Args:
        recording: its name.
        path: its file; "": that of a data set.
        start_time, end_time: s; the end may be inf, for the end of the recording.
        class_name: the class that it is about; "": none.
        score: by which it is ranked, see the ranking; higher comes first.
        kind: name of the ranking.
        decision: accept, reject or relabel, if one is likely; "": open.
        new_class: with relabel, what it seems to be.
        why: in words.
    """

    recording: str
    path: str
    start_time: float
    end_time: float
    class_name: str
    score: float
    kind: str
    decision: str = ""
    new_class: str = ""
    why: str = ""

    @property
    def place(self) -> tuple[str, float, str]:
        """By which suggestions of equal scores are ordered."""
        return self.recording, self.start_time, self.class_name


class DecidedSounds:
    """What was decided about already.

    Args:
        decisions: the decisions table; None: nothing.
        classes: of the suggestions, which decisions may name by their codes; None: suggestions name no class.
    """

    def __init__(self, decisions: "pd.DataFrame | None" = None, classes: ClassList | None = None) -> None:
        self._stretches: dict[str, list[tuple[float, float, set[str]]]] = {}
        if decisions is None:
            return
        labels = {*decisions["class"], *decisions["new_class"]}
        names = {label: (classes.resolve(label) if classes else None) or label for label in labels}
        columns = ["recording", "start_time", "end_time", "class", "new_class"]
        for name, start, end, label, new_label in decisions[columns].itertuples(index=False):
            self._stretches.setdefault(name, []).append((start, end, {names[label], names[new_label]}))

    def __contains__(self, recording: str) -> bool:
        """Whether anything was decided about a recording."""
        return recording.replace("/", "_") in self._stretches

    def covers(self, one: Suggestion) -> bool:
        """Whether more than half of a suggestion's stretch was decided about in one go, for its class if it has one."""
        if one.recording not in self:
            return False
        times = np.array([one.start_time]), np.array([one.end_time])
        return bool(self.covers_windows(one.recording, *times, one.class_name)[0])

    def covers_windows(self, recording: str, starts: np.ndarray, ends: np.ndarray, class_name: str = "") -> np.ndarray:
        """As covers, of stretches of a recording given by their starts and ends (s), (n,): bool (n,)."""
        covered = np.zeros(len(starts), bool)
        halves = np.minimum(ends - starts, 2**40) / 2 + 1e-6
        for start, end, labels in self._stretches.get(recording.replace("/", "_"), ()):
            if class_name in labels | {""}:
                covered |= np.minimum(ends, end) - np.maximum(starts, start) > halves
        return covered


def best_apart(suggestions: Iterable[Suggestion], n: int, decided: DecidedSounds | None = None) -> list[Suggestion]:
    """The n best, by score and then by place, that were not decided about, and of which no two of a class overlap in a
    recording. They may come in any order, and all are held; see keep_best for many.
    """
    taken: dict[tuple[str, str], list[tuple[float, float]]] = {}
    chosen: list[Suggestion] = []
    for one in sorted(suggestions, key=lambda one: (-one.score, *one.place)):
        if len(chosen) == n:
            break
        stretches = taken.setdefault((one.recording, one.class_name), [])
        is_apart = all(min(one.end_time, end) - max(one.start_time, start) <= TOUCHING for start, end in stretches)
        if is_apart and (decided is None or not decided.covers(one)):
            stretches.append((one.start_time, one.end_time))
            chosen.append(one)
    return chosen


def keep_best(recordings: Iterable[Iterable[Suggestion]], n: int) -> list[Suggestion]:
    """As best_apart, of suggestions that come recording by recording: only n are held."""
    best: list[Suggestion] = []
    for of_recording in recordings:
        apart = best_apart(of_recording, n)
        best = heapq.nsmallest(n, [*best, *apart], key=lambda one: (-one.score, *one.place))
    return best
