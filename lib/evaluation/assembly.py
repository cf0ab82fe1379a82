"""Truth and scores brought together, whatever a unit is.

A unit is the part number `index` of a recording: a segment, a block, or (index 0) all of it. A tester says which units
there are, in which of them a class is, and in which a label counts. The score of a unit and a class is the highest of
its labels, 0 where it has none.
"""

from dataclasses import dataclass

import numpy as np

from lib.errors import DataSetError, Problem
from lib.evaluation.labels import SAME, Labels
from lib.evaluation.truths import Truths
from lib.evaluation.units import Units, positions


@dataclass(frozen=True)
class Sources:
    """What a tester reads: labels, annotations, and recording -> duration (s) where it needs that."""

    labels: Labels
    truths: Truths
    seconds: dict[str, float]


@dataclass(frozen=True)
class Parts:
    """Parts of recordings. recording: int (n,), into a list of names. index: int (n,), from 0."""

    recording: np.ndarray
    index: np.ndarray


@dataclass(frozen=True)
class Evidence:
    """The m labels behind the scores of units: unit and column (index into the classes) int (m,), score float32 (m,).

    seconds: float (m,), what a label adds to the time in which its class was found, without what the next label of
    the class covers too.
    """

    unit: np.ndarray
    column: np.ndarray
    score: np.ndarray
    seconds: np.ndarray


@dataclass(frozen=True)
class Assembled:
    """Units, the labels that their scores are from, and what was odd about bringing them together."""

    units: Units
    evidence: Evidence
    problems: list[Problem]


def assemble(
    recordings: list[str],
    parts: Parts,
    size: float,
    hop: float,
    sources: Sources,
    present: tuple[Parts, np.ndarray],
    problems: list[Problem],
) -> Assembled:
    """Units with the labels that their scores are from.

    recordings: names. parts: the units, sorted. size: their length (s), inf: all of a recording. hop: seconds from one
    to the next. present: parts and columns where a class is. problems: of the recordings.
    """
    labels, classes = sources.labels, sources.labels.classes
    truth = np.zeros((len(parts.index), len(classes)), dtype=bool)
    where, column = present
    truth[find(parts, where), column] = True

    table = labels.table
    owner = positions(table["recording"], recordings)
    start = table["start_time"].to_numpy()
    index = np.floor((start + SAME) / hop).astype(np.int64) if np.isfinite(hop) else np.zeros(len(start), np.int64)
    unit = find(parts, Parts(owner, index))
    of_class = positions(table["name"], classes)
    shares = _own_end(owner, of_class, start, table["end_time"].to_numpy())
    limit = (index + 1) * hop if np.isfinite(hop) else np.inf
    used = (unit >= 0) & (of_class >= 0)
    evidence = Evidence(
        unit=unit[used],
        column=of_class[used],
        score=table["score"].to_numpy()[used],
        seconds=(np.minimum(shares, limit) - start)[used],
    )
    scores = np.zeros(truth.shape, dtype=np.float32)
    np.maximum.at(scores, (evidence.unit, evidence.column), evidence.score)
    start_time = parts.index * hop if np.isfinite(hop) else np.zeros(len(parts.index))
    units = Units(
        classes=classes,
        recordings=recordings,
        recording=parts.recording,
        start_time=start_time,
        end_time=start_time + size,
        truth=truth,
        scores=scores,
        others=np.array([name in sources.truths.others for name in recordings], dtype=bool),
    )
    return Assembled(units, evidence, problems)


def listened(sources: Sources, path: str) -> tuple[list[str], list[Problem]]:
    """Names of the annotated recordings that can be evaluated, sorted, and what is odd about any.

    path: of the annotations. Raises DataSetError if there are none.
    """
    labelled = set(sources.labels.table["recording"].unique())
    names, problems = [], []
    for name in sorted(sources.truths.annotations):
        if name in sources.labels.failed:
            reason = f"left out of the test: {sources.labels.failed[name] or 'could not be analyzed'}"
            problems.append(Problem(name, reason, "mend it and run inference again"))
            continue
        names.append(name)
        if name not in labelled:
            reason = "has no labels: all that is annotated in it counts as missed"
            problems.append(Problem(name, reason, "check that it was analyzed", lost=False))
    if not names:
        raise DataSetError(f"{path}: none of its recordings can be tested; see the label folder")
    return names, problems


def find(parts: Parts, wanted: Parts) -> np.ndarray:
    """Positions among sorted parts of wanted ones, int (m,), -1 where there is none."""
    span = 1 + max(parts.index.max(initial=0), wanted.index.max(initial=0))
    keys = parts.recording * span + parts.index
    sought = wanted.recording * span + wanted.index
    position = np.minimum(np.searchsorted(keys, sought), len(keys) - 1)
    return np.where((wanted.recording >= 0) & (keys[position] == sought), position, -1)


def _own_end(recording: np.ndarray, column: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Ends of labels (s), or where the next label of the recording and class starts, if that is earlier."""
    order = np.lexsort((start, column, recording))
    following = np.full(len(order), np.inf)
    if len(order) > 1:
        same = (np.diff(recording[order]) == 0) & (np.diff(column[order]) == 0)
        following[:-1][same] = start[order][1:][same]
    own = np.empty(len(order))
    own[order] = np.minimum(end[order], following)
    return own
