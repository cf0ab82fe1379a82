"""Truth and scores of any kind of unit, from annotations and labels.

A unit is a numbered part of a recording: a segment, a block, or (number 0) all of it. A label counts in the unit in
which it starts; the score of a unit and a class is the highest of its labels, 0 if it has none.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from lib.core.errors import DataSetError, Problem
from lib.evaluation.units import Units
from lib.sound.grid.windows import TOLERANCE
from lib.testers.label_folder import SAME, FolderLabels, ScoredSegments
from lib.testers.tester_statistics import ClassLabels
from lib.testers.truths import Truths

PART = ["recording", "number"]


class Sources(NamedTuple):
    """What a tester reads: labels, annotations, and recording -> duration (s) if it needs that."""

    labels: FolderLabels
    truths: Truths
    seconds: dict[str, float]


class Assembled(NamedTuple):
    """Truth and scores.

    Args:
        units: the matrices.
        segments: those behind the scores, cut where the next unit starts.
        unit: int (n,), in which unit each segment starts; -1: in none.
        problems: of the recordings.
    """

    units: Units
    segments: ScoredSegments
    unit: np.ndarray
    problems: list[Problem]

    def labels(self, column: int) -> ClassLabels:
        """The labels of a class. column: index of the class."""
        segments = self.segments
        labelled = np.flatnonzero(segments.scores[:, column])
        start, recording = segments.start_time[labelled], segments.recording[labelled]
        next_start = np.append(np.where(np.diff(recording), np.inf, start[1:]), np.inf)[: len(start)]
        seconds = np.minimum(segments.end_time[labelled], next_start) - start
        is_in_unit = self.unit[labelled] >= 0
        labelled, seconds = labelled[is_in_unit], seconds[is_in_unit]
        unit = self.unit[labelled]
        return ClassLabels(unit, self.units.truth[unit, column], segments.scores[labelled, column], seconds)


def listened_recordings(sources: Sources, path: str) -> tuple[list[str], list[Problem]]:
    """Names of the annotated recordings that can be tested, sorted, and problems of others.

    path: of the annotations. Raises DataSetError if there are none.
    """
    segments, failed = sources.labels.segments, sources.labels.failed
    labelled = {segments.recordings[index] for index in np.unique(segments.recording[segments.scores.any(axis=1)])}
    names, problems = [], []
    for name in sorted(set(sources.truths.rows["recording"])):
        if name in failed:
            fault = f"left out of the test: {failed[name] or 'could not be analyzed'}"
            problems.append(Problem(name, fault, "repair or add the file, and run inference again"))
            continue
        names.append(name)
        if name not in labelled:
            fault = "has no labels: all that is annotated in it counts as missed"
            problems.append(Problem(name, fault, "check that it was analyzed", lost=False))
    if not names:
        raise DataSetError(path, "none of its recordings can be tested", "see the label folder")
    return names, problems


def highest_scores(scores: np.ndarray, unit: np.ndarray, n_units: int) -> np.ndarray:
    """Scores of units, float32 (n_units, c): the highest of their segments.

    Args:
        scores: of the segments, float32 (n, c).
        unit: of each segment, int (n,), rising except for -1: in none.
    """
    if np.array_equal(unit, np.arange(n_units)):
        return scores
    highest = np.zeros((n_units, scores.shape[1]), np.float32)
    used = np.flatnonzero(unit >= 0)
    first = np.flatnonzero(np.diff(unit[used], prepend=-1))
    highest[unit[used[first]]] = np.maximum.reduceat(scores[used], first)
    return highest


def assemble_blocks(sources: Sources, path: str, size: float) -> Assembled:
    """Units that are the annotated blocks of recordings.

    Args:
        sources: with blocks as truths.
        path: of the annotations.
        size: length of a block, s; inf: all of a recording.
    """
    labels, rows = sources.labels, sources.truths.rows
    names, problems = listened_recordings(sources, path)
    hop = min(size, np.finfo(float).max)  # 0 * inf would be NaN
    annotated = pd.DataFrame(
        {
            "recording": pd.Index(names).get_indexer(rows["recording"]),
            "number": rows["block"].to_numpy(np.int64) - 1,
            "column": pd.Index(labels.classes).get_indexer(rows["name"]),
        }
    )
    annotated = annotated[annotated["recording"] >= 0]
    parts = pd.MultiIndex.from_frame(annotated[PART].drop_duplicates().sort_values(PART))
    present = annotated[annotated["column"] >= 0]
    truth = np.zeros((len(parts), len(labels.classes)), dtype=bool)
    truth[parts.get_indexer(pd.MultiIndex.from_frame(present[PART])), present["column"]] = True

    segments = labels.segments.of(names)
    tolerance = TOLERANCE * labels.hop if labels.is_complete else SAME
    number = np.floor((segments.start_time + tolerance) / hop).astype(np.int64)
    unit = parts.get_indexer(pd.MultiIndex.from_arrays([segments.recording, number], names=PART))
    start_time = parts.get_level_values("number").to_numpy() * hop
    units = Units(
        classes=labels.classes,
        recordings=names,
        recording=parts.get_level_values("recording").to_numpy(),
        start_time=start_time,
        end_time=start_time + size,
        truth=truth,
        scores=highest_scores(segments.scores, unit, len(parts)),
        others=np.isin(names, list(sources.truths.others)),
    )
    return Assembled(units, segments.cut((number + 1) * hop), unit, problems)
