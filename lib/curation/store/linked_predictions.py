"""Predictions of a results store as labels of the frames of a data set, read from it at each call."""

import json
import math
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from lib.core.databases import readable
from lib.core.files import project_root
from lib.curation.store.frame_source import LABEL_COLUMNS, FrameSource, FrameSummary
from lib.curation.store.linked_truth import content_of_summary, kind_of
from lib.curation.store.time_index import TimeIndex
from lib.results.results_store import ResultsStore
from lib.results.results_tables import FILE, LABEL, RECORDING, json_values

if TYPE_CHECKING:
    import pandas as pd

FRAMES_A_BLOCK = 500
LABELS_A_BLOCK = 20_000


class LinkedPredictions:
    """The FrameSource of an inference set in a results store: predictions in the frames of its data set.

    A prediction belongs to each frame of its recording that it reaches into, and is cut at the frame's ends.

    Args:
        url: folder that infer wrote, or its results.db; a relative path counts from the project's folder.
        base: the data set.

    Raises DataSetError if there are no results.
    """

    def __init__(self, url: str, base: FrameSource) -> None:
        self._path, self._base = project_root() / url.removeprefix("file://"), base
        with ResultsStore(self._path):
            pass  # else the error would come later

    @property
    def path(self) -> Path:
        return self._path

    def frames(self, frame_ids: Collection[str] | None = None) -> Iterator[FrameSummary]:
        with ResultsStore(self._path) as store:
            analyzed = {name for name, result in store.recordings().items() if result.is_ok}
        return (frame for frame in self._base.frames(frame_ids) if frame.recording in analyzed)

    def labels(self, frame_ids: Collection[str] | None = None) -> "Iterator[pd.DataFrame]":
        import pandas as pd

        frames: dict[str, list[FrameSummary]] = {}
        for frame in self._base.frames(frame_ids):
            frames.setdefault(frame.recording, []).append(frame)
        rows: list[list[Any]] = []
        indexed, index_of_frames = None, TimeIndex[FrameSummary]([], [], [])
        with ResultsStore(self._path) as store:
            names = store.manifest.class_list.names
            columns = [LABEL.c[name] for name in ("StartTime", "EndTime", "LowFreq", "HighFreq", "Score")]
            query = select(LABEL.c.Recording, LABEL.c.Number, LABEL.c.AnnotationId, LABEL.c.Class, *columns)
            query = query.add_columns(LABEL.c.Metadata).join(RECORDING).order_by(LABEL.c.Recording, LABEL.c.Number)
            query = query.where(RECORDING.c.Settings == store.manifest.key)
            if frame_ids is not None:
                query = query.where(LABEL.c.Recording.in_(select(json_values(frames).c.value)))
            with readable(store.path, FILE):
                for recording, number, given_id, index, start, end, *others in store.connection.execute(query):
                    if recording != indexed:
                        indexed, those = recording, frames.get(recording, [])
                        starts, ends = [each.start_time for each in those], [each.end_time for each in those]
                        index_of_frames = TimeIndex(those, starts, ends)
                    for frame in index_of_frames.within(start, end):
                        label_id = f"{frame.frame_id}/{number if given_id is None else given_id}"
                        rows.append(_label_in(frame, label_id, names[index], start, end, *others))
                    if len(rows) >= LABELS_A_BLOCK:
                        yield pd.DataFrame(rows, columns=LABEL_COLUMNS)
                        rows = []
        if rows:
            yield pd.DataFrame(rows, columns=LABEL_COLUMNS)

    def contents(self, frame_ids: Collection[str] | None = None) -> Iterator[dict[str, Any]]:
        frames = self.frames(frame_ids)
        while block := list(islice(frames, FRAMES_A_BLOCK)):
            labels: dict[str, list[dict[str, Any]]] = {}
            for table in self.labels([frame.frame_id for frame in block]):
                for row in table.to_dict("records"):
                    labels.setdefault(row["frame_id"], []).append(row)  # type: ignore[arg-type]
            yield from (content_of_summary(frame, labels.get(frame.frame_id, [])) for frame in block)


def _label_in(
    frame: FrameSummary,
    label_id: str,
    class_name: str,
    start: float,
    end: float,
    low: float | None,
    high: float | None,
    score: float,
    metadata: str | None,
) -> list[Any]:
    """The row of a prediction in a frame, cut at its ends."""
    start, end = max(start, frame.start_time), min(end, frame.end_time)
    low, high = (math.nan if value is None else value for value in (low, high))
    kind, attributes = kind_of(frame, start, end, low), json.loads(metadata) if metadata else {}
    return [frame.frame_id, label_id, class_name, start, end, low, high, score, kind, attributes]
