"""IDs and summaries that take several tables of the training database."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select

from lib.training_data.training_database import TrainingDatabase
from lib.training_data.training_tables import DEFAULT, class_, segment_class

if TYPE_CHECKING:
    import pandas as pd

SOURCES = (
    (r"[A-Za-z0-9_-]{11}-\d+", "Audioset"),
    (r"XC\d+", "Xeno-Canto"),
    (r"N\d+", "iNaturalist"),
    (r"\d+", "Macaulay Library"),
)
"""Collections, by the file names (without suffix) that they give to recordings."""


def source_name_of(filename: str) -> str:
    """Name of the collection that names its files like this one; else `default`."""
    stem = Path(filename).stem
    return next((name for pattern, name in SOURCES if re.fullmatch(pattern, stem)), DEFAULT)


class TrainingDataProvider:
    """Summaries of a training database, and IDs of rows that are inserted if they are missing."""

    def __init__(self, db: TrainingDatabase) -> None:
        self.db = db

    def category_id(self, name: str) -> int:
        """ID of the category of a name, inserted if missing."""
        return _first_id(self.db.get_category({"Name": name})) or self.db.insert_category(name)

    def class_id(self, name: str, code: str | None, category_id: int) -> int:
        """ID of the class of a name, inserted with that code and category if missing."""
        return _first_id(self.db.get_class({"Name": name})) or self.db.insert_class(category_id, name, code=code)

    def specgroup_id(self, name: str) -> int:
        """ID of the spectrogram group of a name, inserted if missing."""
        return _first_id(self.db.get_specgroup({"Name": name})) or self.db.insert_specgroup(name)

    def source_id(self, filename: str, source_name: str | None = None) -> int:
        """ID of the source of a name, inserted if missing; None: the source that the file name tells, see SOURCES."""
        name = source_name_of(filename) if source_name is None else source_name
        return _first_id(self.db.get_source({"Name": name})) or self.db.insert_source(name)

    def recording_id(self, class_name: str, filename: str, path: str, source_id: int, seconds: float) -> int:
        """ID of a recording, inserted if missing.

        It exists if the source has a file of that name at the same path, or one with segments of that class that has
        been moved since, whose path is updated. Recordings of the extract stage do not count: that stage would drop
        what is added to them.
        """
        named = {"Name": Path(filename).stem, "SourceID": source_id, "FileName": filename, "Key": None}
        if id := _first_id(self.db.get_recording(named | {"Path": str(path)})):
            return id
        for recording in self.db.get_recording(named):
            labels = {"RecordingID": recording.id, "ClassName": class_name}
            if not Path(recording.path).is_file() and self.db.get_segment_class_count(labels):
                self.db.update_recording(recording.id, "Path", str(path))
                return recording.id
        return self.db.insert_recording(source_id, filename, path, seconds)

    def class_info(self) -> "tuple[pd.DataFrame, pd.DataFrame]":
        """Numbers of recordings and segments of each class.

        Returns a table with a row per class, by name: name, code, recordings, segments; and one with a row per class
        and recording, by name and file name: name, code, recording, segments of that class.
        """
        import pandas as pd

        counts_by_recording = self.db.get_segment_counts_by_recording()
        rows = [(each.class_name, each.code, each.filename, each.count) for each in counts_by_recording]
        details = pd.DataFrame(rows, columns=["name", "code", "recording", "segments"])
        counts = details.groupby("name")["segments"].agg(["size", "sum"])
        summary = pd.DataFrame([(each.name, each.code) for each in self.db.get_class()], columns=["name", "code"])
        for column, of in (("recordings", "size"), ("segments", "sum")):
            summary[column] = summary["name"].map(counts[of]).fillna(0).astype(int)
        return summary, details

    def spec_group_info(self) -> "pd.DataFrame":
        """A table with a row per spectrogram group: name, spectrograms (their number)."""
        import pandas as pd

        groups = self.db.get_specgroup()
        counts = [self.db.get_specvalue_count({"SpecGroupID": group.id}) for group in groups]
        return pd.DataFrame({"name": [group.name for group in groups], "spectrograms": counts})

    def segment_class_dict(self) -> dict[int, set[str]]:
        """Names of the classes of each segment that has any, by its ID."""
        classes: dict[int, set[str]] = {}
        for row in self.db.select(select(segment_class.c.SegmentID, class_.c.Name).join(class_)):
            classes.setdefault(row.segment_id, set()).add(row.name)
        return classes


def _first_id(rows: list) -> int | None:
    return rows[0].id if rows else None
