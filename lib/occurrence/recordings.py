"""The recordings table: a CSV file that says where and when single recordings were made.

Columns: recording (its name, with or without suffix), and any of latitude, longitude (degrees), region (code), date
(2024-05-12, a time of day may follow). Cells may be empty. Further columns are ignored.
"""

import datetime
from pathlib import Path
from typing import NamedTuple

from lib.audio.metadata import Position
from lib.audio.reader import SUFFIXES
from lib.errors import Problem
from lib.occurrence import OccurrenceError

COLUMNS = ("latitude", "longitude", "region", "date")


class Entry(NamedTuple):
    """What the table says of a recording, and what is wrong with it. region goes before position."""

    region: str | None = None
    position: Position | None = None
    date: datetime.date | None = None
    problems: tuple[Problem, ...] = ()


class RecordingsTable:
    """A recordings table.

    path: the file. Faults of a row are reported with the recording that it is about. Raises DataSetError for a file
    that cannot be read, OccurrenceError for one that says neither where nor when.
    """

    def __init__(self, path: str | Path):
        from lib.datasets.tables import read_csv  # brings pandas, which most inferences do without

        table = read_csv(Path(path), ["recording"])
        if not set(COLUMNS) & set(table.columns):
            raise OccurrenceError(f"{path}: has none of the columns {', '.join(COLUMNS)}; add some")
        self._entries: dict[str, Entry] = {}
        table = table.reindex(columns=["recording", *COLUMNS], fill_value="")
        for line, name, *cells in table.itertuples(name=None):
            where = f"{path}:{line}"
            if name in self._entries:
                first = self._entries[name]
                twice = Problem(where, f"{name} stands above already", "row left out; remove one of them")
                self._entries[name] = first._replace(problems=(*first.problems, twice))
            else:
                self._entries[name] = _entry(where, *cells)

    def entry(self, recording: str, file_name: str) -> Entry:
        """The row of a recording: by its name, else by its file name, with or without suffix."""
        for name in (recording, file_name, _without_suffix(file_name)):
            if name in self._entries:
                return self._entries[name]
        return Entry()


def _without_suffix(name: str) -> str:
    path = Path(name)
    return path.stem if path.suffix.lower() in SUFFIXES else name


def _entry(where: str, latitude: str, longitude: str, region: str, date: str) -> Entry:
    problems = []
    position, day = None, None
    try:
        position = _position(latitude, longitude)
    except ValueError as fault:
        problems.append(Problem(where, str(fault), "left out; correct the row", lost=False))
    try:
        day = datetime.datetime.fromisoformat(date).date() if date else None
    except ValueError:
        problems.append(Problem(where, f"date = {date!r} is no date", "left out; write it like 2024-05-12", lost=False))
    return Entry(region or None, position, day, tuple(problems))


def _position(latitude: str, longitude: str) -> Position | None:
    if not latitude and not longitude:
        return None
    try:
        position = Position(float(latitude), float(longitude))
    except ValueError:
        raise ValueError(f"latitude {latitude!r} and longitude {longitude!r} are not two numbers") from None
    if not (-90 <= position.latitude <= 90 and -180 <= position.longitude <= 180):
        raise ValueError(f"latitude {latitude} or longitude {longitude} is not on the globe")
    return position
