"""Counts and IDs that several tables of the training database give together."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from lib.database.training_database import TrainingDatabase

if TYPE_CHECKING:
    import pandas as pd

SOURCES = (
    (r"[A-Za-z0-9_-]{11}-\d+", "Audioset"),
    (r"XC\d+", "Xeno-Canto"),
    (r"N\d+", "iNaturalist"),
    (r"\d+", "Macaulay Library"),
)
"""Where recordings come from by the names, without suffix, that these collections give them."""


def source_name_of(filename: str) -> str:
    """Name of the collection whose way of naming files a file name follows; else `default`."""
    stem = Path(filename).stem
    return next((name for pattern, name in SOURCES if re.fullmatch(pattern, stem)), "default")


class TrainingDataProvider:
    """Summaries of a training database, and IDs of rows that are inserted where they are missing."""

    def __init__(self, db: TrainingDatabase) -> None:
        self.db = db

    def category_id(self, name: str) -> int:
        """ID of the category of that name, which is inserted if missing."""
        return _first_id(self.db.get_category({"Name": name})) or self.db.insert_category(name)

    def class_id(self, name: str, code: str | None, category_id: int) -> int:
        """ID of the class of that name, which is inserted with that code and category if missing."""
        return _first_id(self.db.get_class({"Name": name})) or self.db.insert_class(category_id, name, code=code)

    def specgroup_id(self, name: str) -> int:
        """ID of the spectrogram group of that name, which is inserted if missing."""
        return _first_id(self.db.get_specgroup({"Name": name})) or self.db.insert_specgroup(name)

    def source_id(self, filename: str, source_name: str | None = None) -> int:
        """ID of the source of that name, which is inserted if missing; None: as the file name tells (see SOURCES)."""
        name = source_name_of(filename) if source_name is None else source_name
        return _first_id(self.db.get_source({"Name": name})) or self.db.insert_source(name)

    def recording_id(self, class_name: str, filename: str, path: str, source_id: int, seconds: float) -> int:
        """ID of a recording, which is inserted if missing.

        It is there if the source has a file of that name at the same path, or one in which that class sounds and which
        has been moved from its path since, and then gets the new one. Recordings of the extract stage, which would
        forget what is added to them, do not count.
        """
        named = {"Name": Path(filename).stem, "SourceID": source_id, "FileName": filename, "Key": None}
        if id := _first_id(self.db.get_recording(named | {"Path": str(path)})):
            return id
        for recording in self.db.get_recording(named):
            sounding = {"RecordingID": recording.id, "ClassName": class_name}
            if not Path(recording.path).is_file() and self.db.get_segment_class_count(sounding):
                self.db.update_recording(recording.id, "Path", str(path))
                return recording.id
        return self.db.insert_recording(source_id, filename, path, seconds)

    def class_info(self) -> "tuple[pd.DataFrame, pd.DataFrame]":
        """What there is of each class.

        Returns a table with a row a class, by name: name, code, recordings, segments; and one with a row for each class
        and recording in which it sounds, by name and file name: name, code, recording, segments of that class.
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
        """A table with a row a spectrogram group: name, spectrograms (their number)."""
        import pandas as pd

        groups = self.db.get_specgroup()
        counts = [self.db.get_specvalue_count({"SpecGroupID": group.id}) for group in groups]
        return pd.DataFrame({"name": [group.name for group in groups], "spectrograms": counts})

    def segment_class_dict(self) -> dict[int, set[str]]:
        """Names of the classes of each segment that has any, by its ID."""
        names = {row.id: row.name for row in self.db.get_class()}
        found: dict[int, set[str]] = {}
        for row in self.db.get_segment_class():
            found.setdefault(row.segment_id, set()).add(names[row.class_id])
        return found


def _first_id(rows: list) -> int | None:
    return rows[0].id if rows else None
