"""Annotated and found events of recordings as tables, from which lib.evaluation.event_matching makes pairs.

Found events are the labels in a results store, not new ones made from scores: they are what a user gets, with the
thresholds of classes, places, merging and, for models that score frames, the times that infer found.

Both kinds are cut at the end of their recording (a last window may reach beyond); what begins after it is left out. An
annotation without an end (of a whole file) tells a class, but no event: annotations and labels of its class in its
recording count neither as right nor as wrong.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from lib.evaluation.event_matching import Events, events
from lib.results.results_store import FoundEvent, ResultsStore
from lib.sound.classes import ClassList

if TYPE_CHECKING:
    from lib.formats.data_sets import DataSet

LABELS_AT_ONCE = 50_000
"""Labels, and recordings, that are read and matched together."""


class EventTables(NamedTuple):
    """Events of some recordings, sorted by recording.

    Args:
        annotated: `recording`, its index; `number` among the annotations of its recording, from 0; `class`, its name
            in the data set; `column`, index of that class among the model's, -1 if it has none; `start_time`,
            `end_time`, s, `low_freq`, `high_freq`, Hz, NaN if unknown.
        found: `recording`; `number` of the label in its recording; `column`; times and frequencies as above.
    """

    annotated: pd.DataFrame
    found: pd.DataFrame


def annotated_events(data_set: "DataSet", recordings: list[str], classes: ClassList) -> pd.DataFrame:
    """The annotations of recordings as EventTables has them, with infinite ends where they have none.

    Args:
        recordings: names, sorted.
        classes: of the model.
    """
    rows = data_set.annotations
    table = pd.DataFrame(
        {
            "recording": pd.Index(recordings).get_indexer(rows["recording"]),
            "number": rows.groupby("recording").cumcount().to_numpy(),
            "class": rows["class"],
            "column": classes.indices(rows["class"]),
            "start_time": rows["start_time"],
            "end_time": rows["end_time"],
            "low_freq": rows.get("low_freq", np.nan),
            "high_freq": rows.get("high_freq", np.nan),
        }
    )
    return table[table["recording"] >= 0].sort_values(["recording", "number"], ignore_index=True)


def read_events(annotated: pd.DataFrame, store: ResultsStore, recordings: list[str]) -> Iterator[EventTables]:
    """The events of recordings, those of some recordings at a time that have about LABELS_AT_ONCE labels together.

    annotated: as annotated_events gives them, of these recordings. Those without an end are left out here.
    """
    results = store.recordings()
    seconds = np.array([results[name].seconds for name in recordings], np.float64)
    finite = annotated[np.isfinite(annotated["end_time"])]
    for part in _parts([results[name].n_labels for name in recordings]):
        rows = [(index, *event) for index in part for event in store.found_events(recordings[index])]
        found = pd.DataFrame(rows, columns=["recording", *FoundEvent._fields])
        found = found.astype(dict.fromkeys(["recording", "number", "column"], np.int64))
        found = found.astype(dict.fromkeys(["start_time", "end_time", "low_freq", "high_freq"], np.float64))
        begin, end = np.searchsorted(finite["recording"], [part.start, part.stop])
        yield EventTables(_cut(finite[begin:end], seconds), _cut(found, seconds))


def _parts(n_labels: list[int]) -> Iterator[range]:
    """Ranges of recordings that have about LABELS_AT_ONCE labels together."""
    begin = n = 0
    for index, number in enumerate(n_labels):
        n += 1 + number
        if n > LABELS_AT_ONCE:
            yield range(begin, index + 1)
            begin, n = index + 1, 0
    yield range(begin, len(n_labels))


def _cut(table: pd.DataFrame, seconds: np.ndarray) -> pd.DataFrame:
    duration = seconds[table["recording"]]
    table = table.assign(end_time=np.minimum(table["end_time"], duration))
    return table[table["start_time"] < duration]


def as_events(table: pd.DataFrame, group: pd.Series | np.ndarray) -> Events:
    """The rows of a table as events; group: int (n,), see Events."""
    return events(group, table["start_time"], table["end_time"], table["low_freq"], table["high_freq"])
