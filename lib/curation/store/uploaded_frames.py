"""Frames that were uploaded to the curation database, and their labels."""

import math
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, Select, select

from lib.curation.store.curation_database import CurationDatabase
from lib.curation.store.curation_tables import CROP, FRAME
from lib.curation.store.frame_source import LABEL_COLUMNS, FrameSummary

if TYPE_CHECKING:
    import pandas as pd

IDS_A_QUERY = 500
"""Below the number of parameters that any database takes."""


class UploadedFrames:
    """The FrameSource of a set whose frames are in the database.

    Args:
        database: which.
        set_id: of the row of the set.
    """

    def __init__(self, database: CurationDatabase, set_id: int) -> None:
        self._database, self._set_id = database, set_id

    def frames(self, frame_ids: Collection[str] | None = None) -> Iterator[FrameSummary]:
        columns = FRAME.c.Name, FRAME.c.Recording, FRAME.c.StartTime, FRAME.c.EndTime, FRAME.c.Content
        for name, recording, start, end, content in self._rows(select(*columns).order_by(FRAME.c.Name), frame_ids):
            url = next((sensor["audio_url"] for sensor in content.get("sensor_data", ())), "")
            metadata = {entry["key"]: entry["value"] for entry in content["user_metadata"]}
            metadata |= content.get("geo_data", {})
            captured, device = content.get("date_captured") or "", content.get("device_id") or ""
            end = math.inf if end is None else end
            yield FrameSummary(name, recording, url, start, end, captured, device, metadata)

    def labels(self, frame_ids: Collection[str] | None = None) -> "Iterator[pd.DataFrame]":
        import pandas as pd

        columns = [CROP.c[name] for name in ("StartTime", "EndTime", "LowFreq", "HighFreq", "Confidence")]
        query = select(FRAME.c.Name, CROP.c.Name, CROP.c.Class, *columns, CROP.c.Kind, CROP.c.Attributes)
        query = query.add_columns(FRAME.c.StartTime.label("FrameStart"), FRAME.c.EndTime.label("FrameEnd"))
        query = query.select_from(CROP).join(FRAME, CROP.c.FrameID == FRAME.c.ID)
        for block in self._blocks(query.order_by(FRAME.c.Name, CROP.c.ID), frame_ids):
            table = pd.DataFrame(block, columns=[*LABEL_COLUMNS, "frame_start", "frame_end"])
            numbers = ["start_time", "end_time", "low_freq", "high_freq", "confidence", "frame_end"]
            table[numbers] = table[numbers].astype(float)
            table["start_time"] = table["start_time"].fillna(table["frame_start"])
            table["end_time"] = table["end_time"].fillna(table["frame_end"]).fillna(math.inf)
            yield table[LABEL_COLUMNS]

    def contents(self, frame_ids: Collection[str] | None = None) -> Iterator[dict[str, Any]]:
        for (content,) in self._rows(select(FRAME.c.Content).order_by(FRAME.c.Name), frame_ids):
            yield content

    def _rows(self, query: Select, frame_ids: Collection[str] | None) -> Iterator[Row]:
        for block in self._blocks(query, frame_ids):
            yield from block

    def _blocks(self, query: Select, frame_ids: Collection[str] | None) -> Iterator[list[Row]]:
        query = query.where(FRAME.c.FrameSetID == self._set_id)
        if frame_ids is None:
            yield from self._database.blocks(query)
            return
        names = sorted(set(frame_ids))
        for first in range(0, len(names), IDS_A_QUERY):
            yield from self._database.blocks(query.where(FRAME.c.Name.in_(names[first : first + IDS_A_QUERY])))
