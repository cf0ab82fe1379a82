"""The recordings table: a CSV file that says where and when single recordings were made.

Columns: recording (its name, with or without suffix), and any of latitude, longitude (degrees), region (code), date
(2024-05-12, a time of day may follow). Cells may be empty. Further columns are ignored.
"""

import datetime
from pathlib import Path
from typing import NamedTuple

from lib.core.csv_files import decimal_point, read_csv
from lib.core.errors import EarshotError, Problem
from lib.sound.metadata import Position
from lib.sound.recordings import stem_of

COLUMNS = ("latitude", "longitude", "region", "date")


class RecordingEntry(NamedTuple):
    """What the table says of a recording, and what is wrong with it. region goes before position."""

    region: str | None = None
    position: Position | None = None
    date: datetime.date | None = None
    problems: tuple[Problem, ...] = ()


class RecordingsTable:
    """A recordings table, read from a file.

    Faults of a row are reported with the recording that it is about. Raises DataSetError for a file that cannot be
    read, EarshotError for one that says neither where nor when.
    """

    def __init__(self, path: str | Path):
        table = read_csv(path, ["recording"])
        if not set(COLUMNS) & set(table.columns):
            raise EarshotError(path, f"has none of the columns {', '.join(COLUMNS)}", "add some")
        self._entries: dict[str, RecordingEntry] = {}
        table = table.reindex(columns=["recording", *COLUMNS], fill_value="")
        for line, name, *cells in table.itertuples(name=None):
            where = f"{path}:{line}"
            if first := self._entries.get(name):
                repeated = Problem(where, f"{name} is listed above already", "row left out; remove one of them")
                self._entries[name] = first._replace(problems=(*first.problems, repeated))
            else:
                self._entries[name] = _entry(where, *cells)

    def entry(self, recording: str, file_name: str) -> RecordingEntry:
        """The row of a recording: by its name, else by its file name, with or without suffix."""
        names = recording, file_name, stem_of(file_name)
        return next((self._entries[name] for name in names if name in self._entries), RecordingEntry())


def _entry(where: str, latitude: str, longitude: str, region: str, date: str) -> RecordingEntry:
    problems = []
    position, day = None, None
    try:
        position = _position(latitude, longitude)
    except ValueError as fault:
        problems.append(Problem(where, str(fault), "left out; correct the row", lost=False))
    try:
        day = datetime.datetime.fromisoformat(date).date() if date else None
    except ValueError:
        remedy = "left out; write it like 2024-05-12"
        problems.append(Problem(where, f"date = {date!r} is not a date", remedy, lost=False))
    return RecordingEntry(region or None, position, day, tuple(problems))


def _position(latitude: str, longitude: str) -> Position | None:
    if not latitude and not longitude:
        return None
    try:
        position = Position(float(decimal_point(latitude)), float(decimal_point(longitude)))
    except ValueError:
        raise ValueError(f"latitude {latitude!r} and longitude {longitude!r} are not two numbers") from None
    if not (-90 <= position.latitude <= 90 and -180 <= position.longitude <= 180):
        raise ValueError(f"latitude {latitude} or longitude {longitude} is not on the globe")
    return position
