"""The windows of a training database, read one batch at a time."""

import logging
import os
import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
from sqlalchemy import func, select
from sqlalchemy.exc import DatabaseError

from lib.config import Audio
from lib.database import schema
from lib.database.codec import decode
from lib.errors import EarshotError, Problem

logger = logging.getLogger(__name__)


class StoredWindows:
    """Labels in memory, spectrograms on disk, both in the order of recording name and start time.

    classes: table of name, code, alt_name, alt_code, sorted by name. labels: bool (n_windows, n_classes).
    recording: (n_windows,) index into `recordings`, their names. audio: the settings that the spectrograms were made
    with. Raises EarshotError if the database holds no windows. Segments without a spectrogram in the group are left
    out, with a line in the log: a group may hold a choice of them, or lack recordings that are gone.
    """

    def __init__(self, database: str | Path, spec_group: str = schema.DEFAULT) -> None:
        self._path = Path(database)
        self._connections: dict[int, sqlite3.Connection] = {}  # by process: a fork must not use its parent's
        try:
            self._read_index(database, spec_group)
        except DatabaseError as error:
            raise EarshotError(f"{database}: is damaged ({error.orig}); remove it and run the extract stage") from None

    def _read_index(self, database: str | Path, spec_group: str) -> None:
        group, recording, segment, value = schema.spec_group, schema.recording, schema.segment, schema.spec_value
        with schema.connect(database).connect() as connection:
            found = connection.execute(select(group.c.ID, group.c.Settings).where(group.c.Name == spec_group)).first()
            if found is None:
                raise EarshotError(f"{database}: holds no spectrogram group {spec_group}; run the extract stage")
            if found.Settings is None:
                action = "fill it by the extract stage or by Extractor"
                raise EarshotError(f"{database}: of group {spec_group} no audio settings are known; {action}")
            self.audio = Audio.model_validate_json(found.Settings)
            columns = ("Name", "Code", "AltName", "AltCode")
            class_ids = select(schema.class_.c.ID, *(schema.class_.c[name] for name in columns))
            classes = connection.execute(class_ids.order_by(schema.class_.c.Name)).all()
            windows = connection.execute(
                select(recording.c.Name, segment.c.ID, value.c.ID)
                .join_from(segment, recording)
                .join(value, value.c.SegmentID == segment.c.ID)
                .where(value.c.SpecGroupID == found.ID)
                .order_by(recording.c.Name, segment.c.Offset)
            ).all()
            n_segments = connection.execute(select(func.count()).select_from(segment)).scalar_one()
            pairs = connection.execute(select(schema.segment_class.c.SegmentID, schema.segment_class.c.ClassID)).all()
        if not windows:
            raise EarshotError(f"{database}: holds no windows; run the extract stage")
        if n_lacking := n_segments - len(windows):
            reason = f"group {spec_group} lacks {n_lacking} of {n_segments} segments"
            logger.warning(Problem(str(database), reason, f"to add them, run extract --spec_group {spec_group}"))
        names, segments, self._values = (np.array(column) for column in zip(*windows, strict=True))
        self.recordings, self.recording = np.unique(names, return_inverse=True)
        self.classes = pd.DataFrame([row[1:] for row in classes], columns=["name", "code", "alt_name", "alt_code"])
        column_of = {row[0]: column for column, row in enumerate(classes)}
        row_of = dict(zip(segments.tolist(), range(len(segments)), strict=True))
        self.labels = np.zeros((len(segments), len(classes)), bool)
        for segment_id, class_id in pairs:
            if segment_id in row_of:
                self.labels[row_of[segment_id], column_of[class_id]] = True

    def __len__(self) -> int:
        return len(self.labels)

    def spectrograms(self, indices: np.ndarray) -> np.ndarray:
        """The spectrograms of those windows, uint8 (n, spec_height, spec_width) in 0..255."""
        process = os.getpid()
        if process not in self._connections:
            uri = f"{self._path.resolve().as_uri()}?mode=ro"
            self._connections[process] = sqlite3.connect(uri, uri=True, check_same_thread=False)
        read = self._connections[process].execute
        values = [read("SELECT Value FROM SpecValue WHERE ID = ?", (int(self._values[i]),)).fetchone() for i in indices]
        return np.stack([decode(value, self.audio.spec_height) for (value,) in values])

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_connections": {}}
