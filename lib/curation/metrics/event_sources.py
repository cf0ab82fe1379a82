"""Labels and predictions of frames, wherever they are, as the tables that are matched.

Predictions may be events (times, or boxes in time and frequency), labels of whole frames, or both:

- where all are labels of whole frames, truth is taken so, too: a class is in a frame or not;
- where all are events, a true label of a whole frame tells a class, but no event: it is left out, with the predictions
  of its class in that frame, as evaluate does;
- else each kind is compared with its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from lib.curation.metrics.matched_events import NONE

if TYPE_CHECKING:
    from lib.curation.store.frame_source import FrameSummary

WHOLE = "2d_classification"
"""Kind of a label of a whole frame."""
COLUMNS = [
    *("frame_id", "label_id", "class", "start_time", "end_time", "low_freq", "high_freq", "confidence", "is_whole")
]
SHORTEST = 1.0
"""Seconds of an event whose end is unknown, where nothing in its frame ends later than it starts."""


class Stratification(NamedTuple):
    """An attribute of labels, or of frames, and its values in their order; see StratifiedMetricsDefinition."""

    name: str
    ordered_values: tuple[str, ...]

    def stratum(self, *sources: Mapping[str, Any]) -> int:
        """Index of the value in the first mapping that has the attribute; NONE if none has, or the value is another."""
        for source in sources:
            if self.name in source:
                value = str(source[self.name])
                return self.ordered_values.index(value) if value in self.ordered_values else NONE
        return NONE


def merged_classes(label_class_map: Iterable[Mapping[str, Any]]) -> dict[str, str | None]:
    """The name under which each class of a project is evaluated; None: it is not (ignore_in_eval).

    label_class_map: entries of a project's label class map, as their to_dict gives them.
    """
    return {
        entry["name"]: None if entry.get("ignore_in_eval") else entry.get("train_name") or entry["name"]
        for entry in label_class_map
    }


def event_table(
    tables: Iterable[pd.DataFrame],
    merged: Mapping[str, str | None],
    strata: Sequence[Stratification] = (),
    frames: Mapping[str, "FrameSummary"] = {},
) -> pd.DataFrame:
    """The labels of a frame source with COLUMNS and one for each stratification, by its name, int.

    Args:
        tables: of LABEL_COLUMNS.
        merged: see merged_classes; those of other classes keep their names.
        strata: attributes; those that labels lack are taken from the frame's metadata.
        frames: by id.
    """
    parts = []
    for table in tables:
        names = {name: merged.get(name, name) for name in table["class"].unique()}
        table = table.assign(**{"class": table["class"].map(names), "is_whole": table["kind"] == WHOLE})
        table = table[table["class"].notna()]
        metadata: list[dict] = []
        if strata:
            metadata = [frames[frame].metadata if frame in frames else {} for frame in table["frame_id"]]
        codes = {
            each.name: [each.stratum(*sources) for sources in zip(table["attributes"], metadata, strict=True)]
            for each in strata
        }
        parts.append(table[COLUMNS].assign(**codes))
    added = [each.name for each in strata]
    empty = pd.DataFrame(columns=[*COLUMNS, *added]).astype({"is_whole": bool} | dict.fromkeys(added, int))
    return pd.concat([part for part in parts if len(part)] or [empty], ignore_index=True)


def comparable(truth: pd.DataFrame, found: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Truth and predictions of one kind, as the module says, with finite times."""
    if len(found) and found["is_whole"].all():
        truth = truth.assign(is_whole=True)
    elif len(found) and not found["is_whole"].any():
        cells = pd.MultiIndex.from_frame(truth.loc[truth["is_whole"], ["frame_id", "class"]])
        truth, found = (
            table[~pd.MultiIndex.from_frame(table[["frame_id", "class"]]).isin(cells)] for table in (truth, found)
        )
    truth, found = (_once_a_frame(table) for table in (truth, found))
    times = pd.concat([table[["frame_id", "start_time", "end_time"]] for table in (truth, found)])
    times = times.astype({"start_time": float, "end_time": float}).replace(np.inf, np.nan)
    last = times.groupby("frame_id")["end_time"].max()
    return _finite(truth, last), _finite(found, last)


def _once_a_frame(table: pd.DataFrame) -> pd.DataFrame:
    """The table with one label of each class for a whole frame: the most confident one."""
    whole = table[table["is_whole"]].sort_values("confidence", ascending=False, kind="stable")
    kept = whole.drop_duplicates(["frame_id", "class"]).index
    return table[~table["is_whole"] | table.index.isin(kept)]


def _finite(table: pd.DataFrame, last: pd.Series) -> pd.DataFrame:
    """Events without an end end where the last one of their frame does."""
    start, end = table["start_time"].to_numpy(float), table["end_time"].to_numpy(float)
    latest = np.fmax(table["frame_id"].map(last).to_numpy(float), start)
    latest = np.where(latest > start, latest, start + SHORTEST)
    return table.assign(start_time=start, end_time=np.where(np.isinf(end), latest, end))
