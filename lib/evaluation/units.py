"""Units of truth: what a test counts, as a (unit x class) matrix of truth beside one of scores.

Every metric of this room is computed on `Units`, so that tests differ only in what a unit is. Here a unit is a
segment, the window that the model scored; `segment_ranges` says in which segments an annotated sound counts:

- Segments start at multiples of segment_len - overlap, as the windows of inference do.
- A sound counts in each segment that holds at least min_seconds of it, or all of a sound that is shorter.
- A sound of which no segment holds that much (it lies across a boundary) counts in the one that holds most of it, the
  earlier of two equal ones. The convention of BriteKit's PerSegmentTester, from which the rest is taken, drops it.
- A sound is cut at the ends of its recording; one that lies wholly outside of every segment is reported.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lib.audio.windows import window_starts
from lib.errors import DataSetError, Problem
from lib.evaluation.predictions import AGAIN, Predictions

if TYPE_CHECKING:
    from lib.datasets.contents import Contents

TOLERANCE = 1e-6  # of a hop: decimal times are not exact in binary
MISALIGNED = 0.01  # s


@dataclass(frozen=True)
class Units:
    """Truth and scores of n units for c classes; units of a recording stand together, in order of time.

    classes: c names. recordings: r names. recording: int (n,), index into recordings. start_time, end_time: float (n,),
    seconds. truth: bool (n, c). scores: float32 (n, c), 0..1. others: bool (r,), recordings in which classes are
    annotated that are not among `classes`.
    """

    classes: list[str]
    recordings: list[str]
    recording: np.ndarray
    start_time: np.ndarray
    end_time: np.ndarray
    truth: np.ndarray
    scores: np.ndarray
    others: np.ndarray


def by_recording(values: np.ndarray, units: Units) -> np.ndarray:
    """Sums (recordings, classes) of values (units, classes)."""
    sums = [np.bincount(units.recording, weights=column, minlength=len(units.recordings)) for column in values.T]
    return np.reshape(sums, (values.shape[1], len(units.recordings))).T


def positions(column: pd.Series, names: list[str]) -> np.ndarray:
    """Positions in `names` of the values of a categorical column, -1 where it is none of them."""
    position = pd.Index(names, dtype=object).get_indexer(pd.Index(column.cat.categories, dtype=object))
    return position[column.cat.codes.to_numpy()]


def segment_ranges(
    start_time: np.ndarray | float,
    end_time: np.ndarray | float,
    segment_len: float,
    overlap: float,
    min_seconds: float,
    count: np.ndarray | int,
) -> tuple[np.ndarray, np.ndarray]:
    """First and last index of the segments in which sounds count, of `count` segments each (first > last: none).

    start_time, end_time: float (n,), seconds, finite, 0 <= start_time <= end_time.
    """
    hop = _hop(segment_len, overlap)
    needed = np.minimum(min(min_seconds, segment_len), end_time - start_time)
    first = np.maximum(np.ceil((start_time + needed - segment_len) / hop - TOLERANCE), 0)
    last = np.minimum(np.floor((end_time - needed) / hop + TOLERANCE), count - 1)

    earlier = np.clip(np.floor(start_time / hop + TOLERANCE), 0, count - 1)  # the fullest is this or the next
    later = np.minimum(earlier + 1, count - 1)
    in_earlier, in_later = (
        np.minimum(end_time, index * hop + segment_len) - np.maximum(start_time, index * hop)
        for index in (earlier, later)
    )
    fullest = np.where(in_later > in_earlier + TOLERANCE * hop, later, earlier)
    held = np.maximum(in_earlier, in_later) > TOLERANCE * hop
    split = (first > last) & held
    return np.where(split, fullest, first).astype(np.int64), np.where(split, fullest, last).astype(np.int64)


def spread(first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each segment of ranges first..last (n,): which range it is of, and its index."""
    span = np.maximum(last - first + 1, 0)
    owner = np.repeat(np.arange(len(span)), span)
    return owner, first[owner] + np.arange(len(owner)) - np.repeat(np.cumsum(span) - span, span)


def segment_units(
    contents: "Contents", predictions: Predictions, min_seconds: float = 0.3
) -> tuple[Units, list[Problem]]:
    """Every segment of every test recording that the model has analyzed.

    contents: the test set. Its classes are matched with the model's by name, else by code. An annotated class that
    the model does not know takes no part; a recording that was not analyzed is left out; both are reported. Raises
    DataSetError where no recording is left, or where scores and recordings of the predictions do not fit together.
    """
    names, problems = _analyzed(contents, predictions)
    seconds = predictions.recordings.loc[names, "seconds"].to_numpy(np.float64)
    length, hop = predictions.segment_len, _hop(predictions.segment_len, predictions.overlap)
    starts = [window_starts(duration, length, hop) for duration in seconds]
    counts = np.array([len(times) for times in starts])
    first_unit = np.cumsum(counts) - counts

    truth, others, found = _truth(contents, predictions, names, seconds, counts, min_seconds)
    start_time = np.concatenate(starts)
    units = Units(
        classes=predictions.classes,
        recordings=names,
        recording=np.repeat(np.arange(len(names)), counts),
        start_time=start_time,
        end_time=start_time + length,
        truth=truth,
        scores=_scores(predictions, names, counts, first_unit),
        others=others,
    )
    return units, problems + found


def _hop(segment_len: float, overlap: float) -> float:
    if not 0 <= overlap < segment_len:
        raise ValueError(f"overlap = {overlap}: must be at least 0 and below segment_len ({segment_len} s)")
    return segment_len - overlap


def _analyzed(contents: "Contents", predictions: Predictions) -> tuple[list[str], list[Problem]]:
    """Names of the test recordings that have scores, and a problem for each other one."""
    table = predictions.recordings
    names, problems = [], []
    for name in sorted(contents.recordings):
        if name not in table.index:
            problems.append(Problem(name, "is in the test set but was not analyzed", AGAIN))
        elif table.at[name, "status"] != "ok" or not np.isfinite(table.at[name, "seconds"]):
            reason = table.at[name, "reason"] or "could not be analyzed"
            problems.append(Problem(name, f"left out of the evaluation: {reason}", f"mend it and {AGAIN}"))
        else:
            names.append(name)
    for name in sorted(set(names) - set(contents.annotations["recording"])):
        action = "annotate it, or remove it if that is not so"
        problems.append(
            Problem(name, "has no annotations: all that is found in it counts as false", action, lost=False)
        )
    if not names:
        what = "is empty" if not contents.recordings else f"has {len(contents.recordings)}, none of them analyzed"
        raise DataSetError(f"test set: no recording to evaluate (it {what}); check data.test and {AGAIN} again")
    return names, problems


def _truth(
    contents: "Contents",
    predictions: Predictions,
    names: list[str],
    seconds: np.ndarray,
    counts: np.ndarray,
    min_seconds: float,
) -> tuple[np.ndarray, np.ndarray, list[Problem]]:
    """Truth matrix, which recordings hold classes that the model does not know, and what could not be used."""
    annotations = contents.annotations
    recording = pd.Index(names).get_indexer(annotations["recording"])
    column = pd.Index(predictions.classes).get_indexer(predictions.known(annotations["class"]))
    others = np.zeros(len(names), dtype=bool)
    others[recording[(recording >= 0) & (column < 0)]] = True

    use = (recording >= 0) & (column >= 0)
    recording, column = recording[use], column[use]
    start = np.maximum(annotations["start_time"].to_numpy(np.float64)[use], 0)
    end = np.minimum(annotations["end_time"].to_numpy(np.float64)[use], seconds[recording])
    inside = (start < seconds[recording]) & (start <= end)
    first, last = segment_ranges(
        start, np.maximum(start, end), predictions.segment_len, predictions.overlap, min_seconds, counts[recording]
    )
    inside &= first <= last

    event, segment = spread(np.where(inside, first, 0), np.where(inside, last, -1))
    first_unit = np.cumsum(counts) - counts
    truth = np.zeros((int(counts.sum()), len(predictions.classes)), dtype=bool)
    truth[first_unit[recording[event]] + segment, column[event]] = True

    problems = outside(names, seconds, recording[~inside], start[~inside])
    return truth, others, problems + _unmatched(annotations["class"], predictions, truth)


def outside(names: list[str], seconds: np.ndarray, recording: np.ndarray, start: np.ndarray) -> list[Problem]:
    """A problem for each recording of sounds (n,) at `start` s that no segment holds; recording: index into names."""
    problems = []
    for index in np.unique(recording):
        times = start[recording == index]
        reason = f"annotations outside of its segments: {len(times)}, the first at {times.min():g} s"
        problems.append(Problem(names[index], f"{reason} (it lasts {seconds[index]:g} s)", "correct their times"))
    return problems


def _unmatched(annotated: pd.Series, predictions: Predictions, truth: np.ndarray) -> list[Problem]:
    problems = []
    annotated = annotated.drop_duplicates()
    unknown = sorted(annotated[predictions.known(annotated).isna()])
    if unknown:
        reason = f"has classes that the model does not know: {shortened(unknown)}"
        problems.append(Problem("test set", reason, "they take no part; train with them to test them", lost=False))
    absent = [predictions.classes[index] for index in np.flatnonzero(~truth.any(axis=0))]
    if absent:
        reason = f"has no sound of these classes of the model: {shortened(absent)}"
        problems.append(Problem("test set", reason, "macro averages go without them", lost=False))
    return problems


def shortened(names: list[str], limit: int = 8) -> str:
    """Names for one line, at most `limit` of them."""
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _scores(predictions: Predictions, names: list[str], counts: np.ndarray, first_unit: np.ndarray) -> np.ndarray:
    """Score matrix; rows of recordings that are not evaluated are passed over."""
    table = predictions.scores
    recording = positions(table["recording"], names)
    column = positions(table["name"], predictions.classes)
    used = recording >= 0
    recording, column = recording[used], column[used]
    start, score = table["start_time"].to_numpy()[used], table["score"].to_numpy()[used]
    hop = _hop(predictions.segment_len, predictions.overlap)
    index = np.rint(start / hop).astype(np.int64)
    fits = (column >= 0) & (index >= 0) & (index < counts[recording]) & (np.abs(index * hop - start) <= MISALIGNED)
    if not fits.all():
        row = int(np.argmin(fits))
        where = f"{names[recording[row]]} at {start[row]:g} s"
        raise DataSetError(f"scores.csv: {where} fits no segment and class of manifest.yaml; {AGAIN} again")
    scores = np.zeros((int(counts.sum()), len(predictions.classes)), dtype=np.float32)
    scores[first_unit[recording] + index, column] = score
    return scores
