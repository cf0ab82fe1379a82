"""Truth and scores brought together, whatever a unit is.

A unit is the part number `index` of a recording: a segment, a block, or (index 0) all of it. A tester says which units
there are, in which of them a class is, and in which a label counts. The score of a unit and a class is the highest of
its labels, 0 where it has none.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lib.evaluation.labels import SAME, Labels
from lib.evaluation.units import Units


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


def assemble(
    recordings: list[str],
    parts: Parts,
    size: float,
    hop: float,
    labels: Labels,
    classes: list[str],
    present: tuple[Parts, np.ndarray],
    others: set[str],
) -> tuple[Units, Evidence]:
    """Units with the labels that their scores are from.

    parts: the units, sorted. size: their length (s), inf: all of a recording. hop: seconds from one to the next.
    classes: columns, sorted. present: parts and columns where a class is. others: recordings that hold other classes.
    """
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
        others=np.array([name in others for name in recordings], dtype=bool),
    )
    return units, evidence


def find(parts: Parts, wanted: Parts) -> np.ndarray:
    """Positions among sorted parts of wanted ones, int (m,), -1 where there is none."""
    span = 1 + max(parts.index.max(initial=0), wanted.index.max(initial=0))
    keys = parts.recording * span + parts.index
    sought = wanted.recording * span + wanted.index
    position = np.minimum(np.searchsorted(keys, sought), len(keys) - 1)
    return np.where((wanted.recording >= 0) & (keys[position] == sought), position, -1)


def positions(column: pd.Series, names: list[str]) -> np.ndarray:
    """Positions in names of a categorical column's values, -1 where there is none."""
    codes = pd.Index(names, dtype=object).get_indexer(pd.Index(column.cat.categories, dtype=object))
    return codes[column.cat.codes.to_numpy()] if len(column) else np.zeros(0, dtype=np.int64)


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
