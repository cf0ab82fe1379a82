"""The windows of a training database, read one batch at a time."""

import hashlib
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import func, select

from lib.audio.spectrograms import Takes
from lib.config.schema import AudioSettings
from lib.core.databases import LOCK_SECONDS, readable
from lib.core.digests import digest_of, known_digest, state_of
from lib.core.errors import EarshotError, Problem, SettingsError
from lib.core.wording import counted
from lib.training_data import training_tables as tables
from lib.training_data.sound_codec import decode_sound
from lib.training_data.spectrogram_codec import decode

CUTTING = {"sampling_rate", "channel", "spec_duration", "win_length", "hop_length"}
"""Audio settings on which the sound of windows depends."""
DIGESTED_AT_ONCE = 1000
"""Windows; nobody else can write to the database meanwhile."""

logger = logging.getLogger(__name__)


class StoredWindows:
    """Windows of a spectrogram group, ordered by recording name and start time: labels in memory, the rest on disk.

    Attributes:
        classes: table of name, code, alt_name, alt_code, category, sorted by name.
        labels: bool (n_windows, n_classes).
        recordings: names of the recordings.
        recording: (n_windows,), indices into recordings.
        starts: float64 (n_windows,), s.
        audio: settings of the spectrograms.

    Segments without a spectrogram in the group are left out, and their number is logged: a group may hold only some of
    them, or lack recordings that are gone. Raises EarshotError if the database or the group has no windows.
    """

    def __init__(self, database: str | Path, spec_group: str = tables.DEFAULT) -> None:
        self._path, self._spec_group = Path(database), spec_group
        self._connections: dict[int, sqlite3.Connection] = {}
        with readable(database, tables.FILE):
            self._read_index(database, spec_group)

    def _read_index(self, database: str | Path, spec_group: str) -> None:
        recording, segment, value = tables.recording.c, tables.segment.c, tables.spec_value.c
        class_, label = tables.class_.c, tables.segment_class.c
        with tables.open_training_tables(database).connect() as connection:
            self._state = state_of(database)
            group = connection.execute(select(tables.spec_group).filter_by(Name=spec_group)).first()
            if group is None:
                raise EarshotError(database, f"holds no spectrogram group {spec_group}", "run the extract stage")
            if group.Unfinished:
                fault = f"its group {spec_group} is not complete, since the extract stage was interrupted"
                raise EarshotError(database, fault, "run that again")
            if group.Settings is None:
                fault = f"the audio settings of its group {spec_group} are not known"
                raise EarshotError(database, fault, "fill it by the extract stage or by Extractor")
            default = connection.execute(select(tables.spec_group.c.Settings).filter_by(Name=tables.DEFAULT)).scalar()
            named = class_.ID, class_.Name, class_.Code, class_.AltName, class_.AltCode, tables.category.c.Name
            classes = select(*named).join_from(tables.class_, tables.category).order_by(class_.Name)
            class_rows = connection.execute(classes).all()
            has_sound = segment.Audio.is_not(None)
            windows = select(recording.Name, segment.Offset, segment.ID, value.ID, has_sound)
            windows = windows.join_from(tables.segment, tables.recording).join(tables.spec_value)
            windows = windows.where(value.SpecGroupID == group.ID)
            window_rows = connection.execute(windows.order_by(recording.Name, segment.Offset)).all()
            lengths = func.sum(func.length(value.Value)), func.sum(func.length(segment.Audio))
            contents = windows.with_only_columns(recording.Digest, *lengths)
            contents = contents.group_by(recording.ID).order_by(recording.Name, recording.Digest)
            content_rows = [list(row) for row in connection.execute(contents)]
            n_segments = connection.execute(select(func.count()).select_from(tables.segment)).scalar_one()
            pairs = connection.execute(select(label.SegmentID, label.ClassID)).all()
        if not window_rows:
            raise EarshotError(database, "holds no windows", "run the extract stage")
        if n_lacking := n_segments - len(window_rows):
            fault = f"group {spec_group} lacks {n_lacking} of {counted(n_segments, 'segment')}"
            logger.warning(Problem(str(database), fault, f"to add them, run extract --spec_group {spec_group}"))
        self.audio = AudioSettings.model_validate_json(group.Settings)
        self._cut_by = AudioSettings.model_validate_json(default) if default else None
        columns = (np.array(column) for column in zip(*window_rows, strict=True))
        names, self.starts, self._segments, self._values, is_stored = columns
        self._n_soundless = len(is_stored) - int(is_stored.sum())
        self.recordings, self.recording = np.unique(names, return_inverse=True)
        names_of_columns = ["name", "code", "alt_name", "alt_code", "category"]
        self.classes = pd.DataFrame([row[1:] for row in class_rows], columns=names_of_columns)
        column_of = {row.ID: column for column, row in enumerate(class_rows)}
        row_of = {segment_id: row for row, segment_id in enumerate(self._segments.tolist())}
        self.labels = np.zeros((len(self._segments), len(class_rows)), bool)
        for segment_id, class_id in pairs:
            if segment_id in row_of:
                self.labels[row_of[segment_id], column_of[class_id]] = True
        which = self.recordings.tolist(), self.recording.tolist(), self.starts.tolist()
        labels = np.packbits(self.labels).tobytes().hex()  # here, since others may leave out a class later
        self._content = digest_of([self.audio.model_dump(), content_rows, which, labels])

    def __len__(self) -> int:
        return len(self.labels)

    def digest(self, indices: np.ndarray, takes: Takes) -> str:
        """Digest of the spectrograms or the sound of windows given by their indices (n,), whatever their labels.

        Raises EarshotError as spectrograms().
        """
        subject = [os.path.abspath(self._path), self._spec_group, takes, indices.tolist()]

        def compute() -> str:
            digest = hashlib.sha256()
            for start in range(0, len(indices), DIGESTED_AT_ONCE):
                with readable(self._path, tables.FILE), self._snapshot() as connection:
                    for value in self._encoded(connection, indices[start : start + DIGESTED_AT_ONCE], takes):
                        digest.update(len(value).to_bytes(8) + value)
            return digest.hexdigest()[:32]

        return known_digest(digest_of(subject), state_of(self._path), compute)

    def spectrograms(self, indices: np.ndarray) -> np.ndarray:
        """The spectrograms of windows given by their indices (n,), uint8 (n, spec_height, spec_width) in 0..255.

        Raises EarshotError if the database no longer holds the same windows: an extraction may change it meanwhile.
        """
        with readable(self._path, tables.FILE), self._snapshot() as connection:
            values = self._encoded(connection, indices, "spectrograms")
            spectrograms = np.stack([decode(value, self.audio.spec_height) for value in values])
            if spectrograms.shape[2] != self.audio.spec_width:
                raise ValueError(f"spectrograms of width {spectrograms.shape[2]} instead of {self.audio.spec_width}")
        return spectrograms

    def sounds(self, indices: np.ndarray) -> np.ndarray:
        """The sound of windows given by their indices (n,), float32 (n, window_samples + 2 * margin) in -1..1; see
        lib.audio.window_sounds.

        Raises SettingsError if the database does not hold it, or holds sound that was cut with other audio settings,
        and EarshotError as spectrograms().
        """
        self.check_sound()
        n = self.audio.window_samples + 2 * self.audio.margin
        with readable(self._path, tables.FILE), self._snapshot() as connection:
            return np.stack([decode_sound(value, n) for value in self._encoded(connection, indices, "waveforms")])

    def check_sound(self) -> None:
        """Raise SettingsError unless sounds() can read the sound of all windows."""
        n, group = len(self), tables.DEFAULT
        if self._n_soundless:
            missing = (
                "no sound of windows"
                if self._n_soundless == n
                else f"no sound of {counted(self._n_soundless, 'window')}"
            )
            remedy = "set it to true and run the extract stage"
            remedy += "" if self._n_soundless == n else f", then again with --spec_group {group}"
            raise SettingsError("extract.sound", f"{self._path} holds {missing}", remedy)
        if self._cut_by is not None:
            before, after = (audio.model_dump(include=CUTTING) for audio in (self._cut_by, self.audio))
            if before != after:
                fault = f"the sound of its windows was cut with other audio settings, those of group {group}"
                remedy = f"choose that one, or let both have the same {', '.join(sorted(CUTTING))}"
                raise SettingsError(f"train.spec_group = {self._spec_group!r}", fault, remedy)

    def _encoded(self, connection: sqlite3.Connection, indices: np.ndarray, takes: Takes) -> Iterator[bytes]:
        """The stored values of windows given by their indices (n,)."""
        spectrograms = "SELECT Value FROM SpecValue WHERE ID = ?", self._values
        sounds = "SELECT Audio FROM Segment WHERE ID = ?", self._segments
        query, ids = spectrograms if takes == "spectrograms" else sounds
        for i in indices:
            (value,) = connection.execute(query, (int(ids[i]),)).fetchone()
            yield value

    @contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        """A connection of this process, inside which nothing changes; `_values` and `_segments` are the IDs that
        hold in it."""
        process = os.getpid()  # a fork must not use its parent's connection
        if process not in self._connections:
            uri = f"{self._path.resolve().as_uri()}?mode=ro"
            options: dict[str, Any] = {"check_same_thread": False, "isolation_level": None, "timeout": LOCK_SECONDS}
            self._connections[process] = sqlite3.connect(uri, uri=True, **options)
        connection = self._connections[process]
        while True:
            connection.execute("BEGIN")
            try:
                connection.execute("SELECT 1 FROM sqlite_master").fetchone()  # from here on, others wait to write
                if state_of(self._path) == self._state:
                    yield connection
                    return
            finally:
                connection.execute("COMMIT")
            self._look_up_again()

    def _look_up_again(self) -> None:
        """Take the IDs that the windows have now. Raises EarshotError unless there are the same windows."""
        now = StoredWindows(self._path, self._spec_group)
        if now._content != self._content:
            raise EarshotError(self._path, "was changed while it was read", "run the same command again")
        self._values, self._segments, self._state = now._values, now._segments, now._state

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_connections": {}}
