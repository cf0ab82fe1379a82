"""Clips as units: which classes are present in each clip, beside its score of each.

A class is present in a clip if it is annotated anywhere in it; see lib.evaluation.clip_metrics for the scores.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lib.core.errors import Problem
from lib.evaluation.clip_metrics import clip_scores
from lib.evaluation.segment_tallies import Confusion, ConfusionTally
from lib.evaluation.units import Units, unmatched_classes
from lib.formats.data_sets import DataSet
from lib.results.results_store import ResultsStore
from lib.sound.classes import ClassList


@dataclass(frozen=True)
class Clips:
    """Truth and scores of clips.

    Args:
        classes: c names.
        names: of the clips, n.
        truth: bool (n, c).
        scores: float32 (n, c), 0..1.
    """

    classes: list[str]
    names: list[str]
    truth: np.ndarray
    scores: np.ndarray

    def of(self, names: Collection[str]) -> "Clips":
        """Those of these names that are among the clips."""
        chosen = np.isin(self.names, list(names))
        return Clips(self.classes, list(np.array(self.names, object)[chosen]), self.truth[chosen], self.scores[chosen])

    def confusion(self, threshold: float | np.ndarray) -> Confusion:
        """What is found in clips in which a class is present; threshold as in lib.evaluation.clip_metrics."""
        n = len(self.names)
        index, nothing = np.arange(n), np.zeros(n)
        units = Units(self.classes, self.names, index, nothing, nothing, self.truth, self.scores, nothing > 0)
        tally = ConfusionTally(units, threshold)
        tally.add(units)
        return replace(tally.confusion(), by="clip")


def read_clips(data_sets: Sequence[DataSet], store: ResultsStore) -> tuple[Clips, list[Problem]]:
    """The clips of data sets that have scores, sorted by name, and what they hold as far as it is annotated.

    A clip that could not be analyzed, as lib.inference.analyzer reports, is left out. Annotated classes that the model
    knows by none of their names and codes become a Problem, and so do those of the model that no clip holds.
    """
    results, manifest, problems = store.recordings(), store.manifest, list[Problem]()
    names = sorted({name for data_set in data_sets for name in data_set.recordings})
    names = [name for name in names if name in results and results[name].n_windows]
    scores = np.zeros((len(names), len(manifest.classes)), np.float32)
    for row, name in enumerate(names):
        scores[row] = clip_scores(scores for _, scores in store.windows(name))
    truth, row_of = np.zeros(scores.shape, bool), {name: row for row, name in enumerate(names)}
    labelled, unknown = [data_set for data_set in data_sets if len(data_set.annotations)], set[str]()
    for data_set in labelled:
        column_of = _columns(data_set, manifest.class_list)
        known = data_set.annotations.assign(column=data_set.annotations["class"].map(column_of))
        unknown |= set(known["class"][known["column"] < 0])
        known = known[(known["column"] >= 0) & known["recording"].isin(row_of)]
        truth[known["recording"].map(row_of), known["column"]] = True
    if labelled:
        absent = [name for column, name in enumerate(manifest.class_list.names) if not truth[:, column].any()]
        problems += unmatched_classes(unknown, manifest, absent)
    return Clips(manifest.class_list.names, names, truth, scores), problems


def _columns(data_set: DataSet, known: ClassList) -> dict[str, int]:
    """The position, among known classes, of each class of a data set; -1: it is none of them by any name or code."""
    columns = {}
    for entry in ClassList(data_set.classes.to_dict("records")).entries:  # type: ignore[arg-type]
        found = known.indices(label for label in entry.values() if label)
        columns[entry["name"]] = next((int(column) for column in found if column >= 0), -1)
    return columns
