"""Units of truth: what a test counts, as a (unit x class) matrix of truth beside one of scores.

Every metric of this room is computed on `Units`, so that tests differ only in what a unit is. Here a unit is a segment,
the window that the model scored; lib.sound.grid says which events are present in it. An event is cut at the ends of its
recording; one that lies outside of every segment is reported.

The segments of years of recordings do not fit into memory as a matrix, so metrics take units block by block.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd

from lib.core.errors import DataSetError, Problem
from lib.core.wording import shortened
from lib.results.manifest import Manifest
from lib.results.results_store import AGAIN, RecordingResult, ResultsStore
from lib.sound.grid import PRESENCE_SECONDS, expand_ranges, windows_with_event

if TYPE_CHECKING:
    from lib.formats.data_sets import DataSet

PAIRS_AT_ONCE = 500_000
"""Pairs of a unit and a class in a block."""


@dataclass(frozen=True)
class Units:
    """Truth and scores of n units for c classes; units of a recording follow one another, in order of time.

    Args:
        classes: c names.
        recordings: r names.
        recording: int (n,), index into recordings.
        start_time, end_time: float (n,), s.
        truth: bool (n, c).
        scores: float32 (n, c), 0..1.
        others: bool (r,), recordings in which classes are annotated that are not among `classes`.
        unknown: segment (index of the unit) -> names of such classes that are present in it, sorted.
    """

    classes: list[str]
    recordings: list[str]
    recording: np.ndarray
    start_time: np.ndarray
    end_time: np.ndarray
    truth: np.ndarray
    scores: np.ndarray
    others: np.ndarray
    unknown: Mapping[int, list[str]] = field(default_factory=dict)

    def blocks(self) -> Iterator["Units"]:
        """The units themselves, as the only block."""
        yield self


class UnitBlocks(Protocol):
    """Units of r recordings that come in blocks, in order; each block names all recordings."""

    @property
    def classes(self) -> list[str]: ...

    @property
    def recordings(self) -> list[str]: ...

    @property
    def others(self) -> np.ndarray: ...

    def blocks(self) -> Iterator[Units]: ...


@dataclass(frozen=True)
class SegmentGrid:
    """The segments of r recordings: segment k of each starts at origin + k * hop.

    Args:
        names: of the recordings.
        seconds: their durations, float (r,), s.
        counts: how many segments each has, int (r,).
        origin: start of the first segment, s.
        length: of a segment, s.
        hop: from the start of one segment to that of the next, s.
    """

    names: list[str]
    seconds: np.ndarray
    counts: np.ndarray
    origin: float
    length: float
    hop: float


class SegmentTruth:
    """Which classes are present in the segments of a grid.

    Args:
        grid: the segments.
        classes: c names.
        events: annotations with the column `column`: index of the class, -1 for one that is not among `classes`;
            end_time may be inf. Those of other recordings are passed over.
        min_seconds: of an event that make it present in a segment, see lib.sound.grid.

    Attributes:
        problems: one for each recording with events that no segment holds.
    """

    def __init__(self, grid: SegmentGrid, classes: list[str], events: pd.DataFrame, min_seconds: float) -> None:
        events = events.assign(recording=pd.Index(grid.names).get_indexer(events["recording"]))
        events = events[events["recording"] >= 0]
        self.grid, self.classes = grid, classes
        self._ends = np.cumsum(grid.counts)
        """Index of the first unit after each recording."""
        self._known, self.problems = self._present(events[events["column"] >= 0], min_seconds)
        self._unknown, _ = self._present(events[events["column"] < 0], min_seconds)
        self.others = np.isin(np.arange(len(grid.names)), events["recording"][events["column"] < 0])

    @property
    def absent_classes(self) -> list[str]:
        """Classes that are present in no unit."""
        present = set(self._known["column"])
        return [name for index, name in enumerate(self.classes) if index not in present]

    def units(self, scores: np.ndarray, begin: int = 0) -> Units:
        """Units with their truth.

        Args:
            scores: of n consecutive segments, float32 (n, c), 0..1.
            begin: index of the first of them, among the segments of all recordings.
        """
        unit = np.arange(begin, begin + len(scores))
        recording = np.searchsorted(self._ends, unit, side="right")
        start_time = self.grid.origin + (unit - (self._ends - self.grid.counts)[recording]) * self.grid.hop
        truth = np.zeros(scores.shape, bool)
        here, row = self._within(self._known, begin, len(scores))
        truth[row, here["column"]] = True
        here, row = self._within(self._unknown, begin, len(scores))
        unknown_names: dict[int, list[str]] = {}
        for index, name in sorted(set(zip(row.tolist(), here["class"], strict=True))):
            unknown_names.setdefault(index, []).append(name)
        return Units(
            classes=self.classes,
            recordings=self.grid.names,
            recording=recording,
            start_time=start_time,
            end_time=start_time + self.grid.length,
            truth=truth,
            scores=scores,
            others=self.others,
            unknown=unknown_names,
        )

    def _present(self, events: pd.DataFrame, min_seconds: float) -> tuple[pd.DataFrame, list[Problem]]:
        """Events with the first and last unit in which they are present, and problems of those that are in none."""
        grid, recording = self.grid, events["recording"].to_numpy()
        start, end = (events[column].to_numpy(np.float64) for column in ("start_time", "end_time"))
        first, last = windows_with_event(
            start - grid.origin,
            end - grid.origin,
            grid.length,
            grid.hop,
            min_seconds,
            grid.counts[recording],
            grid.seconds[recording] - grid.origin,
        )
        problems = []
        for index in np.unique(recording[first > last]):
            outside = start[(first > last) & (recording == index)]
            fault = f"annotations outside of its segments: {len(outside)}, the first at {outside.min():g} s"
            problem = Problem(grid.names[index], f"{fault} (it lasts {grid.seconds[index]:g} s)", "correct their times")
            problems.append(problem)
        begin = (self._ends - grid.counts)[recording]
        present = events[["class", "column"]].assign(first=begin + first, last=begin + last)
        return present[first <= last], problems

    @staticmethod
    def _within(present: pd.DataFrame, begin: int, n: int) -> tuple[pd.DataFrame, np.ndarray]:
        """Which event is present in which of the n units from `begin` on: rows of `present`, and int (m,), 0..n - 1."""
        near = present[(present["first"] < begin + n) & (present["last"] >= begin)]
        first, last = np.maximum(near["first"] - begin, 0), np.minimum(near["last"] - begin, n - 1)
        event, row = expand_ranges(first.to_numpy(), last.to_numpy())
        return near.iloc[event], row


class SegmentUnits:
    """The segments of recordings as units, whose scores are read block by block.

    Args:
        truth: what is present in the segments.
        store: the results that hold their scores.
    """

    def __init__(self, truth: SegmentTruth, store: ResultsStore) -> None:
        self._truth, self._store = truth, store
        self.classes, self.recordings, self.others = truth.classes, truth.grid.names, truth.others

    def blocks(self) -> Iterator[Units]:
        """The units, about PAIRS_AT_ONCE pairs of a unit and a class at a time."""
        begin, n, pending = 0, 0, list[np.ndarray]()
        for scores in self._scores():
            n += len(scores)
            pending.append(scores)
            if n * len(self.classes) >= PAIRS_AT_ONCE:
                yield self._truth.units(np.concatenate(pending), begin)
                begin, n, pending = begin + n, 0, []
        if pending:
            yield self._truth.units(np.concatenate(pending), begin)

    def whole(self) -> Units:
        """All units in one block."""
        nothing = np.zeros((0, len(self.classes)), np.float32)
        return self._truth.units(np.concatenate([nothing, *self._scores()]))

    def _scores(self) -> Iterator[np.ndarray]:
        return (scores for name in self.recordings for _, scores in self._store.windows(name))


def segment_units(
    data_set: "DataSet", store: ResultsStore, min_seconds: float = PRESENCE_SECONDS
) -> tuple[SegmentUnits, list[Problem]]:
    """Every segment of every test recording that the model has analyzed.

    An annotated class that the model does not know takes no part; a recording that was not analyzed is left out; both
    are reported. Raises DataSetError if no recording is left.
    """
    store.check_scores()
    manifest, classes, annotations = store.manifest, store.manifest.class_list, data_set.annotations
    results, problems = analyzed_recordings(data_set, store)
    grid = SegmentGrid(
        names=[result.name for result in results],
        seconds=np.array([result.seconds for result in results], np.float64),
        counts=np.array([result.n_windows for result in results]),
        origin=manifest.start_seconds,
        length=manifest.segment_len,
        hop=manifest.hop,
    )
    events = annotations.assign(column=classes.indices(annotations["class"]))
    truth = SegmentTruth(grid, classes.names, events, min_seconds)
    units = SegmentUnits(truth, store)
    return units, [*problems, *truth.problems, *unmatched_classes(annotations["class"], manifest, truth.absent_classes)]


def analyzed_recordings(data_set: "DataSet", store: ResultsStore) -> tuple[list[RecordingResult], list[Problem]]:
    """The test recordings that were analyzed, sorted by name, and a Problem for each other one.

    Raises DataSetError if none was.
    """
    results = store.recordings()
    names, problems = [], []
    annotated = set(data_set.annotations["recording"])
    for name in sorted(data_set.recordings):
        if name not in results:
            problems.append(Problem(name, "is in the test set but was not analyzed", AGAIN))
        elif not results[name].is_ok:
            fault = f"left out of the evaluation: {results[name].reason or 'could not be analyzed'}"
            problems.append(Problem(name, fault, f"repair or remove the file, and {AGAIN}"))
        else:
            names.append(name)
    for name in names:
        if name not in annotated:
            fault = "has no annotations: all that is found in it counts as false"
            problems.append(Problem(name, fault, "annotate it, or remove it if that is not so", lost=False))
    if not names:
        number = len(data_set.recordings)
        what = "is empty" if not number else f"has {number}, none of them analyzed"
        raise DataSetError("test set", f"no recording to evaluate (it {what})", f"check data.test and {AGAIN} again")
    return [results[name] for name in names], problems


def unmatched_classes(annotated: Iterable[str], manifest: Manifest, absent: list[str]) -> list[Problem]:
    """A Problem for annotated classes that the model does not know, and one for those of the model that are absent."""
    problems, classes = [], manifest.class_list
    if unknown := sorted(name for name in set(annotated) if classes.resolve(name) is None):
        fault = f"has classes that the model does not know: {shortened(unknown)}"
        problems.append(Problem("test set", fault, "they take no part; train with them to test them", lost=False))
    if absent:
        fault = f"has no sound of these classes of the model: {shortened(absent)}"
        problems.append(Problem("test set", fault, "macro averages go without them", lost=False))
    return problems


def joined_names(mask: np.ndarray, classes: list[str]) -> list[str]:
    """The names of the classes in each row of a mask, bool (n, classes)."""
    names = np.array(classes, dtype=object)
    return ["; ".join(names[row]) for row in mask]
