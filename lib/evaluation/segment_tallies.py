"""What is counted of units while they come block by block, so that memory does not grow with their number.

Each tally has `add`, which takes the next block, and a result that is complete after the last one.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lib.evaluation import metrics
from lib.evaluation.units import UnitBlocks, Units

ERRORS = 100
"""Of each kind in the table of errors."""
SCORE_BINS = 50
BACKGROUND, NONE = "(background)", "(none)"


@dataclass(frozen=True)
class Confusion:
    """What was found where a class is present.

    If each recording holds one class (`by` is `recording`): rows are true classes, columns the classes with the highest
    mean score. Otherwise (`by` is `segment`): rows are the segments that hold a class, and those that hold none
    (`(background)`); columns say in how many of them a class was found at the threshold. Off the diagonal only false
    ones count, those of segments that do not hold the column's class; `(none)` counts segments in which nothing was
    found. As a segment may hold and find several classes, rows need not add up to their totals.

    Args:
        rows, columns: names.
        counts: (rows, columns).
        totals: (rows,), of which the counts are shares.
        by: `recording`, `segment` or, where whole clips are counted in place of segments, `clip`.
    """

    rows: list[str]
    columns: list[str]
    counts: np.ndarray
    totals: np.ndarray
    by: str


class ThresholdTally:
    """Counts at thresholds.

    Args:
        units: what will be counted.
        thresholds: rising, (t,).
        weights: float32 (b, r), of the recordings in draws.

    Attributes:
        drawn: counts of all pairs in each draw.
        by_class: counts of each class.
    """

    def __init__(self, units: UnitBlocks, thresholds: np.ndarray, weights: np.ndarray) -> None:
        self._thresholds, self._weights = thresholds, weights
        self.drawn, self.by_class = (
            metrics.Counts(*(np.zeros((rows, columns)) for columns in (len(thresholds), len(thresholds), 1)))
            for rows in (len(weights), len(units.classes))
        )

    def add(self, block: Units) -> metrics.Counts:
        """Returns the counts of the block's recordings, sorted by their index."""
        recordings, owner = np.unique(block.recording, return_inverse=True)
        here, by_class = metrics.count(block.truth, block.scores, owner, len(recordings), self._thresholds)
        self.drawn += here.drawn(self._weights[:, recordings])
        self.by_class += by_class
        return here


class RecordingTally:
    """What each recording holds, and which class has the highest mean score in it.

    Attributes:
        segments: int (r,).
        tp, fp, positives: pairs at the threshold, int (r,).
        n_present: classes that are present, int (r,).
        first_present: index of the first of them, int (r,).
        names: of them, with semicolons between.
        guess: index of the class with the highest mean score, int (r,).
        is_right: whether that class is present, bool (r,).
    """

    def __init__(self, units: UnitBlocks) -> None:
        n = len(units.recordings)
        self._classes = np.array(units.classes, dtype=object)
        self.segments, self.tp, self.fp, self.positives, self.n_present, self.first_present, self.guess = np.zeros(
            (7, n), np.int64
        )
        self.names = [""] * n
        self.is_right = np.zeros(n, bool)
        self._sums = np.zeros(len(units.classes))
        self._present = np.zeros(len(units.classes), bool)
        self._open = -1
        """The last recording so far, which the next block may go on with."""

    def add(self, block: Units, counts: metrics.Counts) -> None:
        """counts: of the block's recordings at the threshold (k, 1)."""
        recordings, owner = np.unique(block.recording, return_inverse=True)
        self.segments[recordings] += np.bincount(owner)
        for total, part in ((self.tp, counts.tp), (self.fp, counts.fp), (self.positives, counts.positives)):
            total[recordings] += part[:, 0].astype(np.int64)
        sums = metrics.group_sums(block.scores, owner, len(recordings))
        present = metrics.group_sums(block.truth, owner, len(recordings)) > 0
        for index, recording_sums, recording_present in zip(recordings.tolist(), sums, present, strict=True):
            if index != self._open:
                self._open, self._sums, self._present = index, np.zeros_like(self._sums), np.zeros_like(self._present)
            self._sums, self._present = self._sums + recording_sums, self._present | recording_present
            classes = np.flatnonzero(self._present)
            self.n_present[index], self.names[index] = len(classes), "; ".join(self._classes[classes])
            self.first_present[index] = classes[0] if len(classes) else 0
            self.guess[index] = (self._sums / self.segments[index]).argmax()
            self.is_right[index] = self._present[self.guess[index]]

    def confusion(self, classes: list[str]) -> Confusion:
        """Of recordings that hold one class each."""
        is_counted = self.n_present > 0
        counts = np.zeros((len(classes), len(classes)))
        np.add.at(counts, (self.first_present[is_counted], self.guess[is_counted]), 1)
        return Confusion(classes, classes, counts, counts.sum(axis=1), by="recording")


class ConfusionTally:
    """The confusion of segments. threshold: score from which a class counts as found, one for all or of each (c,)."""

    def __init__(self, units: UnitBlocks, threshold: float | np.ndarray) -> None:
        self._classes, self._threshold = units.classes, np.asarray(threshold, np.float32)
        size = len(units.classes) + 1
        self._counts, self._totals = np.zeros((size, size)), np.zeros(size)

    def add(self, block: Units) -> None:
        n_classes = len(self._classes)
        truth, found = block.truth, block.scores >= self._threshold
        rows = np.column_stack([truth, ~truth.any(axis=1)]).astype(np.float32)
        false = np.column_stack([found & ~truth, ~found.any(axis=1)]).astype(np.float32)
        part = rows.T @ false
        part[np.arange(n_classes), np.arange(n_classes)] = (truth & found).sum(axis=0)
        self._counts += part
        self._totals += rows.sum(axis=0)

    def confusion(self) -> Confusion:
        rows, columns = [*self._classes, BACKGROUND], [*self._classes, NONE]
        return Confusion(rows, columns, self._counts, self._totals, by="segment")


class ErrorTally:
    """The false positives with the highest and the false negatives with the lowest scores: those to listen to.

    threshold: score from which a class counts as found.
    """

    def __init__(self, units: UnitBlocks, threshold: float) -> None:
        self._recordings = np.array(units.recordings, dtype=object)
        self._classes = np.array(units.classes, dtype=object)
        self._threshold = np.float32(threshold)
        self._worst: dict[str, list[pd.DataFrame]] = {"false positive": [], "false negative": []}

    def add(self, block: Units) -> None:
        found = block.scores >= self._threshold
        self._take(block, "false positive", found & ~block.truth)
        self._take(block, "false negative", ~found & block.truth)

    def _take(self, block: Units, kind: str, is_wrong: np.ndarray) -> None:
        unit, column = np.nonzero(is_wrong)
        scores = block.scores[unit, column].astype(np.float64)
        chosen = np.argsort(-scores if kind == "false positive" else scores, kind="stable")[:ERRORS]
        unit, column, scores = unit[chosen], column[chosen], scores[chosen]
        rows = {
            "kind": kind,
            "recording": self._recordings[block.recording[unit]],
            "class": self._classes[column],
            "start_time": block.start_time[unit],
            "end_time": block.end_time[unit],
            "score": scores,
            "present": self._present_names(block, unit),
        }
        table = pd.concat([*self._worst[kind], pd.DataFrame(rows)])
        is_rising = kind == "false negative"
        self._worst[kind] = [table.sort_values("score", ascending=is_rising, kind="stable").head(ERRORS)]

    def _present_names(self, block: Units, unit: np.ndarray) -> list[str]:
        """The classes that are present in some units, those that the model does not know last."""
        return [
            "; ".join([*self._classes[block.truth[index]], *block.unknown.get(index, [])]) for index in unit.tolist()
        ]

    def table(self) -> pd.DataFrame:
        """kind, recording, class, start_time, end_time, score, present: at most ERRORS of each kind, worst first."""
        return pd.concat([table for tables in self._worst.values() for table in tables], ignore_index=True)


class ScoreTally:
    """Numbers of scores in SCORE_BINS equal bins of 0..1, where a class is present and where it is absent."""

    def __init__(self) -> None:
        self.present, self.absent = np.zeros((2, SCORE_BINS))

    def add(self, block: Units) -> None:
        for counts, scores in ((self.present, block.scores[block.truth]), (self.absent, block.scores[~block.truth])):
            counts += np.histogram(scores, SCORE_BINS, (0, 1))[0]
