"""Truth and scores of any kind of unit, from annotations and labels.

A unit is a numbered part of a recording: a segment, a block, or (number 0) all of it. A tester says which units there
are, and in which of them a class is present. A label counts in the unit in which it starts; the score of a unit and a
class is the highest of its labels, 0 if it has none.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from lib.core.errors import DataSetError, Problem
from lib.evaluation.units import Units
from lib.testers.label_folder import SAME, FolderLabels
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
        evidence: the labels behind the scores: unit and column (indexes), score, and seconds: what a label adds to the
            time in which its class was found, without what the next label of the class covers too.
        problems: of the recordings.
    """

    units: Units
    evidence: pd.DataFrame
    problems: list[Problem]


def listened_recordings(sources: Sources, path: str) -> tuple[list[str], list[Problem]]:
    """Names of the annotated recordings that can be tested, sorted, and problems of others.

    path: of the annotations. Raises DataSetError if there are none.
    """
    labelled = set(sources.labels.table["recording"].unique())
    names, problems = [], []
    for name in sorted(set(sources.truths.rows["recording"])):
        if name in sources.labels.failed:
            fault = f"left out of the test: {sources.labels.failed[name] or 'could not be analyzed'}"
            problems.append(Problem(name, fault, "mend it and run inference again"))
            continue
        names.append(name)
        if name not in labelled:
            fault = "has no labels: all that is annotated in it counts as missed"
            problems.append(Problem(name, fault, "check that it was analyzed", lost=False))
    if not names:
        raise DataSetError(path, "none of its recordings can be tested", "see the label folder")
    return names, problems


def assemble_blocks(sources: Sources, path: str, size: float) -> Assembled:
    """Units that are the annotated blocks of recordings.

    Args:
        sources: with blocks as truths.
        path: of the annotations.
        size: length of a block, s; inf: all of a recording.
    """
    names, problems = listened_recordings(sources, path)
    rows = sources.truths.rows.rename(columns={"block": "number"}).astype({"number": np.int64})
    present = rows.assign(recording=pd.Index(names).get_indexer(rows["recording"]), number=rows["number"] - 1)
    present = present[present["recording"] >= 0]
    parts = pd.MultiIndex.from_frame(present[PART].drop_duplicates().sort_values(PART))
    return assemble(names, parts, present, size, size, sources, problems)


def assemble(
    recordings: list[str],
    parts: pd.MultiIndex,
    present: pd.DataFrame,
    size: float,
    hop: float,
    sources: Sources,
    problems: list[Problem],
) -> Assembled:
    """Units with the labels behind their scores.

    Args:
        recordings: names.
        parts: the units, sorted: recording (index into the names) and number.
        present: recording and number of parts, and the name of a class that is present; "": none.
        size: length of a unit, s; inf: all of a recording.
        hop: seconds from one unit to the next; inf as well.
        sources: labels and truths.
        problems: of the recordings.
    """
    classes, table = pd.Index(sources.labels.classes), sources.labels.table
    hop = min(hop, np.finfo(float).max)  # 0 * inf would be NaN
    present = present[present["name"] != ""]
    truth = np.zeros((len(parts), len(classes)), dtype=bool)
    truth[_positions(parts, present), classes.get_indexer(present["name"])] = True

    labels = table[["start_time", "end_time", "score"]].assign(
        recording=pd.Index(recordings).get_indexer(table["recording"]), column=classes.get_indexer(table["name"])
    )
    labels["number"] = np.floor((labels["start_time"] + SAME) / hop).astype(np.int64)
    labels["unit"] = _positions(parts, labels)
    in_order = labels[["recording", "column", "start_time"]].sort_values(["recording", "column", "start_time"])
    next_start = in_order.groupby(["recording", "column"])["start_time"].shift(-1).sort_index()
    end = np.fmin(np.fmin(labels.pop("end_time"), next_start), (labels["number"] + 1) * hop)
    evidence = labels.assign(seconds=end - labels["start_time"])[(labels["unit"] >= 0) & (labels["column"] >= 0)]
    scores = np.zeros(truth.shape, dtype=np.float32)
    np.maximum.at(scores, (evidence["unit"], evidence["column"]), evidence["score"])
    recording, number = (parts.get_level_values(level).to_numpy() for level in PART)
    units = Units(
        classes=sources.labels.classes,
        recordings=recordings,
        recording=recording,
        start_time=number * hop,
        end_time=number * hop + size,
        truth=truth,
        scores=scores,
        others=np.isin(recordings, list(sources.truths.others)),
    )
    return Assembled(units, evidence, problems)


def _positions(parts: pd.MultiIndex, table: pd.DataFrame) -> np.ndarray:
    """Positions among the parts of those in a table, int (m,); -1: it is none of them."""
    return parts.get_indexer(pd.MultiIndex.from_frame(table[PART]))
