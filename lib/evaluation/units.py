"""Units of truth: what a test counts, as a (unit x class) matrix of truth beside one of scores.

Every metric of this room is computed on `Units`, so that tests differ only in what a unit is. Here a unit is a segment,
the window that the model scored; lib.sound.grid says which events are present in it. An event is cut at the ends of its
recording; one that lies outside of every segment is reported.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lib.core.errors import DataSetError, Problem
from lib.results.manifest import Manifest
from lib.results.results_store import AGAIN, ResultsStore
from lib.sound.grid import PRESENCE_SECONDS, expand_ranges, windows_with_event

if TYPE_CHECKING:
    from lib.formats.data_sets import DataSet


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


def segment_units(
    data_set: "DataSet", store: ResultsStore, min_seconds: float = PRESENCE_SECONDS
) -> tuple[Units, list[Problem]]:
    """Every segment of every test recording that the model has analyzed.

    An annotated class that the model does not know takes no part; a recording that was not analyzed is left out; both
    are reported. Raises DataSetError if no recording is left.
    """
    manifest, classes, annotations = store.manifest, store.manifest.class_list, data_set.annotations
    names, seconds, problems = _analyzed(data_set, store)
    scores = [store.scores(name) for name in names]
    counts = np.array([len(each) for each in scores])
    grid = SegmentGrid(names, seconds, counts, manifest.start_seconds, manifest.segment_len, manifest.hop)
    events = annotations.assign(column=classes.indices(annotations["class"]))
    units, outside = units_on_grid(grid, classes.names, events, np.concatenate(scores), min_seconds)
    return units, [*problems, *outside, *_unmatched(annotations["class"], manifest, units.truth)]


def _analyzed(data_set: "DataSet", store: ResultsStore) -> tuple[list[str], np.ndarray, list[Problem]]:
    """Names and durations (s) of the test recordings that have scores, and a problem for each other one."""
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
    return names, np.array([results[name].seconds for name in names], np.float64), problems


def units_on_grid(
    grid: SegmentGrid, classes: list[str], events: pd.DataFrame, scores: np.ndarray, min_seconds: float
) -> tuple[Units, list[Problem]]:
    """Units that are the segments of a grid, and a problem for each recording with events that no segment holds.

    Args:
        grid: the segments.
        classes: c names.
        events: annotations with the column `column`: index of the class, -1 for one that is not among `classes`;
            end_time may be inf. Those of other recordings are passed over.
        scores: of all segments, float32 (n, c), 0..1.
        min_seconds: of an event that make it present in a segment, see lib.sound.grid.
    """
    events = events.assign(recording=pd.Index(grid.names).get_indexer(events["recording"]))
    events = events[events["recording"] >= 0]
    known, unknown = events[events["column"] >= 0], events[events["column"] < 0]
    recording, index = expand_ranges(np.zeros_like(grid.counts), grid.counts - 1)
    start_time = grid.origin + index * grid.hop

    unit, event, problems = _present(known, grid, min_seconds)
    truth = np.zeros((len(recording), len(classes)), dtype=bool)
    truth[unit, known["column"].to_numpy()[event]] = True
    unit, event, _ = _present(unknown, grid, min_seconds)
    unknown_names: dict[int, list[str]] = {}
    for number, name in sorted(set(zip(unit.tolist(), unknown["class"].to_numpy()[event], strict=True))):
        unknown_names.setdefault(number, []).append(name)
    units = Units(
        classes=classes,
        recordings=grid.names,
        recording=recording,
        start_time=start_time,
        end_time=start_time + grid.length,
        truth=truth,
        scores=scores,
        others=np.isin(np.arange(len(grid.names)), unknown["recording"]),
        unknown=unknown_names,
    )
    return units, problems


def _present(
    events: pd.DataFrame, grid: SegmentGrid, min_seconds: float
) -> tuple[np.ndarray, np.ndarray, list[Problem]]:
    """Unit and event, int (m,) each, wherever an event is present; and the problems of units_on_grid."""
    recording = events["recording"].to_numpy()
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
    event, segment = expand_ranges(first, last)
    first_unit = np.cumsum(grid.counts) - grid.counts
    problems = []
    for index in np.unique(recording[first > last]):
        outside = start[(first > last) & (recording == index)]
        fault = f"annotations outside of its segments: {len(outside)}, the first at {outside.min():g} s"
        problem = Problem(grid.names[index], f"{fault} (it lasts {grid.seconds[index]:g} s)", "correct their times")
        problems.append(problem)
    return first_unit[recording[event]] + segment, event, problems


def _unmatched(annotated: pd.Series, manifest: Manifest, truth: np.ndarray) -> list[Problem]:
    problems, classes = [], manifest.class_list
    if unknown := sorted(name for name in set(annotated) if classes.resolve(name) is None):
        fault = f"has classes that the model does not know: {shortened(unknown)}"
        problems.append(Problem("test set", fault, "they take no part; train with them to test them", lost=False))
    if absent := [classes.names[index] for index in np.flatnonzero(~truth.any(axis=0))]:
        fault = f"has no sound of these classes of the model: {shortened(absent)}"
        problems.append(Problem("test set", fault, "macro averages go without them", lost=False))
    return problems


def shortened(names: list[str], limit: int = 8) -> str:
    """Names in one line, at most `limit` of them."""
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def joined_names(mask: np.ndarray, classes: list[str]) -> list[str]:
    """The names of the classes in each row of a mask, bool (n, classes)."""
    names = np.array(classes, dtype=object)
    return ["; ".join(names[row]) for row in mask]
