"""The labels of a model run matched one to one with the annotations of its data set, by rules that a user may give.

A label and an annotation of one recording can be a pair where their intersection over union is at least `iou` (see
lib.evaluation.event_matching) and their classes allow it: any two with `class_agnostic`; else the same class, and the
pairs of classes that `allowed_label_matches` lists. Of all one-to-one choices the one with the most pairs is taken.

Which events there are, lib.evaluation.event_tables tells. Annotations of classes that the model does not have are among
them, since such a pair may be allowed. Where an annotation has no end, labels of the classes that may match it are left
out in its recording, though with `class_agnostic` only those of the same class.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lib.core.digests import digest_of
from lib.core.errors import SettingsError
from lib.evaluation.event_matching import match, overlaps
from lib.evaluation.event_tables import EventTables, annotated_events, as_events, read_events
from lib.results.results_store import ResultsStore
from lib.sound.classes import ClassList

if TYPE_CHECKING:
    from lib.formats.data_sets import DataSet

NONE = -1
"""In place of a number: there is none."""


class AllowedMatch(BaseModel):
    """Classes, by any of their names and codes, of an annotation and a label that may match though they differ."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    ground_truth_label: str
    model_prediction_label: str


class MatchingRules(BaseModel):
    """Which labels and annotations may match.

    Args:
        class_agnostic: whether any two classes may.
        allowed_label_matches: pairs of different classes that may unless class_agnostic.
        iou: least intersection over union, above 0 and at most 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    class_agnostic: bool = True
    allowed_label_matches: tuple[AllowedMatch, ...] = Field((), strict=False)
    iou: float = Field(0.5, gt=0, le=1)

    @property
    def digest(self) -> str:
        return digest_of(self.model_dump())


BY_CLASS = MatchingRules(class_agnostic=False)
"""Those by which evaluate matches: its event figures at an IoU of 0.5 count the same pairs."""


def rules_of(payload: Mapping[str, Any] | None) -> MatchingRules:
    """The rules of a payload as ModelRun.commit takes it. Raises SettingsError.

    With allowed_label_matches, also an empty list, class_agnostic is False, whatever the payload says; None is taken as
    if the key were missing.
    """
    content: Any = {} if payload is None else payload
    if isinstance(content, Mapping):
        content = {key: value for key, value in content.items() if value is not None}
        if "allowed_label_matches" in content:
            content["class_agnostic"] = False
    try:
        return MatchingRules.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, ("payload", *first["loc"])))
        raise SettingsError(place, first["msg"], "see ModelRun.commit") from None


class Matches(NamedTuple):
    """What became of n events, in pairs or alone, sorted by recording, number of the annotation and of the label.

    Args:
        recording: index of the recording, int (n,).
        annotation: number among the annotations of its recording, int (n,); NONE: a label alone.
        label: number in its recording, int (n,); NONE: an annotation alone.
        iou: float (n,); NaN: alone.
        annotated: index of the annotation's class in RunMatching.annotated_classes, int (n,); NONE: a label alone.
        found: index of the label's class among the model's, int (n,); NONE: an annotation alone.
    """

    recording: np.ndarray
    annotation: np.ndarray
    label: np.ndarray
    iou: np.ndarray
    annotated: np.ndarray
    found: np.ndarray


class RunMatching:
    """Matches the labels of a store with the annotations of a data set.

    Args:
        data_set: the data set.
        store: the results; every recording in question must have been analyzed.
        recordings: names of those in question, sorted.
        rules: which labels and annotations may match.

    Raises SettingsError if the rules name a class that is not there.
    """

    def __init__(self, data_set: "DataSet", store: ResultsStore, recordings: list[str], rules: MatchingRules) -> None:
        self._store, self._recordings, self._rules = store, recordings, rules
        classes = store.manifest.class_list
        events = annotated_events(data_set, recordings, classes)
        names, index = np.unique(events["class"].to_numpy(str), return_inverse=True)
        self.annotated_classes: list[str] = names.tolist()
        self._events = events.assign(annotated=index)
        self._classes = _ClassPairs(self.annotated_classes, classes, data_set, rules)
        endless = self._events[np.isinf(events["end_time"])]
        self._whole_annotated = _cells(endless["recording"], endless["annotated"], self._classes.same_annotated)
        self._whole_found = _cells(endless["recording"], endless["annotated"], self._classes.pairs)

    def matches(self) -> Iterator[Matches]:
        """The matches, recordings in their order, some at a time."""
        for tables in read_events(self._events, self._store, self._recordings):
            yield self._match(tables)

    def _match(self, tables: EventTables) -> Matches:
        annotated = _without(tables.annotated, "annotated", self._whole_annotated)
        found = _without(tables.found, "column", self._whole_found)
        group = self._classes.groups
        sides = (
            as_events(table, table["recording"].to_numpy() * group.number + of_class[table[column]])
            for table, column, of_class in (
                (annotated, "annotated", group.of_annotated),
                (found, "column", group.of_found),
            )
        )
        candidates = overlaps(*sides).at_least(self._rules.iou)
        if not self._rules.class_agnostic:
            of_annotated = annotated["annotated"].to_numpy()[candidates.annotated]
            of_found = found["column"].to_numpy()[candidates.found]
            candidates = candidates[self._classes.allows(of_annotated, of_found)]
        pairs = match(candidates)
        alone_annotated = np.setdiff1d(np.arange(len(annotated)), pairs.annotated)
        alone_found = np.setdiff1d(np.arange(len(found)), pairs.found)
        at_annotated = np.concatenate([pairs.annotated, alone_annotated, np.full(len(alone_found), NONE)])
        at_found = np.concatenate([pairs.found, np.full(len(alone_annotated), NONE), alone_found])
        iou = np.concatenate([pairs.affinity, np.full(len(alone_annotated) + len(alone_found), np.nan)])
        recording = np.maximum(_taken(annotated["recording"], at_annotated), _taken(found["recording"], at_found))
        annotation, label = _taken(annotated["number"], at_annotated), _taken(found["number"], at_found)
        kinds = _taken(annotated["annotated"], at_annotated), _taken(found["column"], at_found)
        order = np.lexsort((label, annotation, annotation == NONE, recording))
        return Matches(*(values[order] for values in (recording, annotation, label, iou, *kinds)))


class _Groups(NamedTuple):
    """Groups of classes between which no pair is allowed: of each annotated class and of each of the model's."""

    number: int
    of_annotated: np.ndarray
    of_found: np.ndarray


class _ClassPairs:
    """Which annotated classes and classes of the model may match.

    Attributes:
        pairs: (annotated, found) of the same class, and of those that are allowed besides, int (n, 2).
        same_annotated: (annotated, annotated) that are the same class of the model, int (n, 2).
    """

    def __init__(self, annotated: Sequence[str], classes: ClassList, data_set: "DataSet", rules: MatchingRules) -> None:
        self._n_found = len(classes)
        column = classes.indices(annotated)
        same = np.stack([np.flatnonzero(column >= 0), column[column >= 0]], axis=1)
        more = _allowed(annotated, classes, data_set, rules)
        self.pairs = np.unique(np.concatenate([same, more]), axis=0)
        is_same = (column[:, None] == column) & (column >= 0) | np.eye(len(column), dtype=bool)
        self.same_annotated = np.argwhere(is_same)
        if rules.class_agnostic:
            self.groups = _Groups(1, np.zeros(len(annotated), np.int64), np.zeros(self._n_found, np.int64))
        else:
            size = len(annotated) + self._n_found
            cells = self.pairs[:, 0], len(annotated) + self.pairs[:, 1]
            graph = coo_array((np.ones(len(self.pairs), bool), cells), shape=(size, size))
            number, label = connected_components(graph, directed=False)
            self.groups = _Groups(number, *np.split(label.astype(np.int64), [len(annotated)]))

    def allows(self, annotated: np.ndarray, found: np.ndarray) -> np.ndarray:
        """Whether pairs of classes, int (n,) each, may match, bool (n,)."""
        return np.isin(annotated * self._n_found + found, self.pairs[:, 0] * self._n_found + self.pairs[:, 1])


def _allowed(annotated: Sequence[str], classes: ClassList, data_set: "DataSet", rules: MatchingRules) -> np.ndarray:
    """The pairs of classes that the rules list, int (n, 2), as far as they are annotated."""
    known = ClassList(data_set.classes.to_dict("records"))  # type: ignore[arg-type]
    row = {name: index for index, name in enumerate(annotated)}
    pairs = []
    for number, allowed in enumerate(rules.allowed_label_matches):
        place, remedy = f"payload.allowed_label_matches.{number}", "give its name or code"
        name = known.resolve(allowed.ground_truth_label)
        column = int(classes.indices([allowed.model_prediction_label])[0])
        if name is None and classes.resolve(allowed.ground_truth_label) is None:
            fault = f"{allowed.ground_truth_label!r} is not a class of the data set"
            raise SettingsError(f"{place}.ground_truth_label", fault, remedy)
        if column < 0:
            fault = f"{allowed.model_prediction_label!r} is not a class of the model run"
            raise SettingsError(f"{place}.model_prediction_label", fault, remedy)
        if (index := row.get(name or "")) is not None:  # else it is only the model's, or not annotated here
            pairs.append((index, column))
    return np.array(pairs, np.int64).reshape(-1, 2)


def _cells(recording: pd.Series, annotated: pd.Series, pairs: np.ndarray) -> pd.DataFrame:
    """Pairs (recording, class) of the classes that are paired with those annotated in recordings."""
    partners = pd.DataFrame(pairs, columns=["annotated", "class"])
    here = pd.DataFrame({"recording": recording, "annotated": annotated})
    return here.merge(partners, on="annotated")[["recording", "class"]].drop_duplicates()


def _without(table: pd.DataFrame, column: str, cells: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table whose recording and class, which is in that column, are not among the cells."""
    if cells.empty:
        return table
    keys = pd.MultiIndex.from_frame(table[["recording", column]])
    return table[~keys.isin(pd.MultiIndex.from_frame(cells))]


def _taken(values: pd.Series, index: np.ndarray) -> np.ndarray:
    """The values at positions, int; NONE where there is none."""
    return np.append(values.to_numpy(np.int64), NONE)[index]
