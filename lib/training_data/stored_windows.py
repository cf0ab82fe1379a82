"""The windows of a training database, read one batch at a time."""

import logging
import os
import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
from sqlalchemy import func, select

from lib.config.schema import AudioSettings
from lib.core.databases import readable
from lib.core.errors import EarshotError, Problem
from lib.training_data import training_tables as tables
from lib.training_data.spectrogram_codec import decode

logger = logging.getLogger(__name__)


class StoredWindows:
    """Windows of a spectrogram group, ordered by recording name and start time: labels in memory, spectrograms on disk.

    Attributes:
        classes: table of name, code, alt_name, alt_code, sorted by name.
        labels: bool (n_windows, n_classes).
        recordings: names of the recordings.
        recording: (n_windows,), indices into recordings.
        audio: settings of the spectrograms.

    Segments without a spectrogram in the group are left out, and their number is logged: a group may hold only some of
    them, or lack recordings that are gone. Raises EarshotError if the database or the group has no windows.
    """

    def __init__(self, database: str | Path, spec_group: str = tables.DEFAULT) -> None:
        self._path = Path(database)
        self._connections: dict[int, sqlite3.Connection] = {}  # by process: a fork must not use its parent's
        with readable(database, tables.FILE):
            self._read_index(database, spec_group)

    def _read_index(self, database: str | Path, spec_group: str) -> None:
        recording, segment, value = tables.recording.c, tables.segment.c, tables.spec_value.c
        class_, label = tables.class_.c, tables.segment_class.c
        with tables.open_training_tables(database).connect() as connection:
            group = connection.execute(select(tables.spec_group).filter_by(Name=spec_group)).first()
            if group is None:
                raise EarshotError(database, f"holds no spectrogram group {spec_group}", "run the extract stage")
            if group.Unfinished:
                fault = f"its group {spec_group} is not complete, since the extract stage was interrupted"
                raise EarshotError(database, fault, "run that again")
            if group.Settings is None:
                fault = f"the audio settings of its group {spec_group} are not known"
                raise EarshotError(database, fault, "fill it by the extract stage or by Extractor")
            classes = select(class_.ID, class_.Name, class_.Code, class_.AltName, class_.AltCode).order_by(class_.Name)
            class_rows = connection.execute(classes).all()
            windows = select(recording.Name, segment.ID, value.ID).join_from(tables.segment, tables.recording)
            windows = windows.join(tables.spec_value).where(value.SpecGroupID == group.ID)
            windows = windows.order_by(recording.Name, segment.Offset)
            window_rows = connection.execute(windows).all()
            n_segments = connection.execute(select(func.count()).select_from(tables.segment)).scalar_one()
            pairs = connection.execute(select(label.SegmentID, label.ClassID)).all()
        if not window_rows:
            raise EarshotError(database, "holds no windows", "run the extract stage")
        if n_lacking := n_segments - len(window_rows):
            fault = f"group {spec_group} lacks {n_lacking} of {n_segments} segments"
            logger.warning(Problem(str(database), fault, f"to add them, run extract --spec_group {spec_group}"))
        self.audio = AudioSettings.model_validate_json(group.Settings)
        names, segments, self._values = (np.array(column) for column in zip(*window_rows, strict=True))
        self.recordings, self.recording = np.unique(names, return_inverse=True)
        self.classes = pd.DataFrame([row[1:] for row in class_rows], columns=["name", "code", "alt_name", "alt_code"])
        column_of = {row.ID: column for column, row in enumerate(class_rows)}
        row_of = {segment_id: row for row, segment_id in enumerate(segments.tolist())}
        self.labels = np.zeros((len(segments), len(class_rows)), bool)
        for segment_id, class_id in pairs:
            if segment_id in row_of:
                self.labels[row_of[segment_id], column_of[class_id]] = True

    def __len__(self) -> int:
        return len(self.labels)

    def spectrograms(self, indices: np.ndarray) -> np.ndarray:
        """The spectrograms of windows given by their indices (n,), uint8 (n, spec_height, spec_width) in 0..255."""
        process, query = os.getpid(), "SELECT Value FROM SpecValue WHERE ID = ?"
        with readable(self._path, tables.FILE):
            if process not in self._connections:
                uri = f"{self._path.resolve().as_uri()}?mode=ro"
                self._connections[process] = sqlite3.connect(uri, uri=True, check_same_thread=False)
            read = self._connections[process].execute
            values = (read(query, (int(self._values[i]),)).fetchone() for i in indices)
            spectrograms = np.stack([decode(value, self.audio.spec_height) for (value,) in values])
            if spectrograms.shape[2] != self.audio.spec_width:
                raise ValueError(f"spectrograms of width {spectrograms.shape[2]} instead of {self.audio.spec_width}")
        return spectrograms

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_connections": {}}
