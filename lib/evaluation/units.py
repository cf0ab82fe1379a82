"""Units of truth: what a test counts, as a (unit x class) matrix of truth beside one of scores.

Every metric of this room is computed on `Units`, so that tests differ only in what a unit is. Here a unit is a segment,
the window that the model scored; lib.sound.grid says which events are present in it. An event is cut at the ends of its
recording; one that lies outside of every segment is reported.
"""

from dataclasses import dataclass
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
    """

    classes: list[str]
    recordings: list[str]
    recording: np.ndarray
    start_time: np.ndarray
    end_time: np.ndarray
    truth: np.ndarray
    scores: np.ndarray
    others: np.ndarray


def segment_units(
    data_set: "DataSet", store: ResultsStore, min_seconds: float = PRESENCE_SECONDS
) -> tuple[Units, list[Problem]]:
    """Every segment of every test recording that the model has analyzed.

    An annotated class that the model does not know takes no part; a recording that was not analyzed is left out; both
    are reported. Raises DataSetError if no recording is left.
    """
    manifest, names = store.manifest, store.manifest.class_list.names
    recordings, seconds, problems = _analyzed(data_set, store)
    scores = [store.scores(name) for name in recordings]
    counts = np.array([len(each) for each in scores])
    recording, index = expand_ranges(np.zeros_like(counts), counts - 1)
    start_time = manifest.start_seconds + index * manifest.hop
    truth, others, truth_problems = _truth(data_set, manifest, recordings, seconds, counts, min_seconds)
    units = Units(
        classes=names,
        recordings=recordings,
        recording=recording,
        start_time=start_time,
        end_time=start_time + manifest.segment_len,
        truth=truth,
        scores=np.concatenate(scores),
        others=others,
    )
    return units, problems + truth_problems


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
            problems.append(Problem(name, fault, f"mend it and {AGAIN}"))
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


def _truth(
    data_set: "DataSet",
    manifest: Manifest,
    names: list[str],
    seconds: np.ndarray,
    counts: np.ndarray,
    min_seconds: float,
) -> tuple[np.ndarray, np.ndarray, list[Problem]]:
    """Truth matrix, which recordings hold classes that the model does not know, and what could not be used."""
    annotations = data_set.annotations
    recording = pd.Index(names).get_indexer(annotations["recording"])
    column = manifest.class_list.indices(annotations["class"])
    others = np.zeros(len(names), dtype=bool)
    others[recording[(recording >= 0) & (column < 0)]] = True

    use = (recording >= 0) & (column >= 0)
    recording, column = recording[use], column[use]
    times = annotations[["start_time", "end_time"]].to_numpy(np.float64)[use]
    segment, event, problems = segments_with_events(
        times,
        recording,
        names,
        seconds,
        counts,
        manifest.segment_len,
        manifest.hop,
        min_seconds,
        manifest.start_seconds,
    )
    first_unit = np.cumsum(counts) - counts
    truth = np.zeros((int(counts.sum()), len(manifest.classes)), dtype=bool)
    truth[first_unit[recording[event]] + segment, column[event]] = True
    return truth, others, problems + _unmatched(annotations["class"], manifest, truth)


def segments_with_events(
    times: np.ndarray,
    recording: np.ndarray,
    names: list[str],
    seconds: np.ndarray,
    counts: np.ndarray,
    length: float,
    hop: float,
    min_seconds: float,
    origin: float = 0.0,
) -> tuple[np.ndarray, np.ndarray, list[Problem]]:
    """In which segments of their recordings events are present.

    Args:
        times: start and end of each event, (n, 2), s; inf: to the end.
        recording: index of its recording, int (n,).
        names, seconds, counts: of the recordings: names, durations (s) and numbers of segments.
        length, hop, min_seconds: see lib.sound.grid.
        origin: where the first segment starts, s.

    Returns index of segment and event, int (m,) each, for each pair; and a problem for each recording with events that
    no segment holds.
    """
    start = np.maximum(times[:, 0], origin) - origin
    end = np.maximum(np.minimum(times[:, 1], seconds[recording]) - origin, start)
    first, last = windows_with_event(start, end, length, hop, min_seconds, counts[recording])
    is_before = (times[:, 0] < origin) & (times[:, 1] <= origin)
    is_outside = (times[:, 0] >= seconds[recording]) | is_before | (first > last)
    event, segment = expand_ranges(np.where(is_outside, 0, first), np.where(is_outside, -1, last))
    problems = []
    for index in np.unique(recording[is_outside]):
        outside = times[is_outside & (recording == index), 0]
        fault = f"annotations outside of its segments: {len(outside)}, the first at {outside.min():g} s"
        problems.append(Problem(names[index], f"{fault} (it lasts {seconds[index]:g} s)", "correct their times"))
    return segment, event, problems


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
