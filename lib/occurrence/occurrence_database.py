"""The occurrence database: counties, classes, and 48 weekly values for each pair of them, in SQLite."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sqlalchemy import Column, Float, ForeignKey, Integer, LargeBinary, MetaData, Table, Text, delete, insert, select

from lib.core.databases import Kind, fix_header, open_database
from lib.core.errors import EarshotError
from lib.core.files import atomic
from lib.core.rows import Database, plain
from lib.occurrence.counties import County, box_fault
from lib.occurrence.occurrence_table import OccurrenceRow
from lib.occurrence.season import WEEKS

_metadata = MetaData()
HEADER_BYTES = 100
"""Of an SQLite file."""
_EDGES = ("MinX", "MaxX", "MinY", "MaxY")


def _reference(table: str, index: bool = False) -> Column:
    return Column(f"{table}ID", ForeignKey(f"{table}.ID", ondelete="CASCADE"), primary_key=True, index=index)


_county = Table(
    "County",
    _metadata,
    Column("ID", Integer, primary_key=True),
    Column("Name", Text, nullable=False),
    Column("Code", Text, nullable=False, unique=True),
    *(Column(edge, Float) for edge in _EDGES),
)
_class = Table(
    "Class", _metadata, Column("ID", Integer, primary_key=True), Column("Name", Text, nullable=False, unique=True)
)
_occurrence = Table(
    "Occurrence",
    _metadata,
    _reference("County"),
    _reference("Class", index=True),
    Column("Value", LargeBinary, nullable=False),  # float64 (48,), little-endian
)
FILE = Kind("occurrence database", _metadata, 0x4541524F, 0, "run python -m stages.pickle_occurrences")


class OccurrenceClass(NamedTuple):
    id: int
    name: str


class CountyClass(NamedTuple):
    """A county and a class for which there are occurrence values."""

    county_id: int
    class_id: int


class OccurrenceDatabase(Database):
    """SQLite database interface for class occurrence data, which can be used in a `with` block.

    Each call is a transaction, except within a `with db.transaction()` block. The file is made, with its folder, if it
    does not exist. Methods raise EarshotError where the file or a value is not usable.
    """

    def __init__(self, db_path: str | Path = "data/occurrence.db"):
        super().__init__(str(db_path), open_database(Path(db_path), FILE, create=True))

    def insert_county(
        self,
        name: str,
        code: str,
        min_x: float | None,
        max_x: float | None,
        min_y: float | None,
        max_y: float | None,
    ) -> int:
        """Insert a county record and return the ID.

        The box is in degrees; min_x > max_x: across the 180th meridian; None four times: unknown.
        """
        if fault := box_fault(min_x, max_x, min_y, max_y):
            raise EarshotError(f"county {code}", fault, "correct its box")
        return self._insert(_county, Name=name, Code=code, MinX=min_x, MaxX=max_x, MinY=min_y, MaxY=max_y)

    def insert_class(self, name: str) -> int:
        """Insert a class record and return the ID."""
        return self._insert(_class, Name=name)

    def insert_occurrences(self, county_id: int, class_id: int, value: Sequence[float]) -> None:
        """Insert an occurrence record for a given county and class.

        value: 48 weekly values from 0 on: frequencies, 0..1, as in occurrence tables, or other numbers.
        """
        values = np.asarray(value, dtype="<f8")
        if values.shape != (WEEKS,) or not np.all((values >= 0) & (values < np.inf)):
            what = f"occurrences of class {class_id} in county {county_id}"
            raise EarshotError(what, f"give {WEEKS} finite values from 0 on")
        self._insert(_occurrence, CountyID=county_id, ClassID=class_id, Value=values.tobytes())

    def insert_rows(self, rows: Iterable[OccurrenceRow]) -> None:
        """Insert the rows of an occurrence table into an empty database, in one transaction.

        IDs count from 1 in the order in which counties and classes first appear.
        """
        counties: dict[str, dict] = {}
        classes: dict[str, dict] = {}
        occurrences = []
        for row in rows:
            county = {"ID": len(counties) + 1, "Name": row.county_name, "Code": row.county_code}
            county |= dict(zip(_EDGES, row.box, strict=True))
            county_id = counties.setdefault(row.county_code, county)["ID"]
            class_id = classes.setdefault(row.class_name, {"ID": len(classes) + 1, "Name": row.class_name})["ID"]
            weeks = row.weeks.astype("<f8").tobytes()
            occurrences.append({"CountyID": county_id, "ClassID": class_id, "Value": weeks})
        if not occurrences:
            return
        with self.transaction():
            self._write(insert(_county), list(counties.values()))
            self._write(insert(_class), list(classes.values()))
            self._write(insert(_occurrence), occurrences)

    def delete_county(self, id: int) -> None:
        """Delete a county record specified by ID, and its occurrences."""
        self._delete(_county, id)

    def delete_class(self, id: int) -> None:
        """Delete a class record specified by ID, and its occurrences."""
        self._delete(_class, id)

    def get_all_counties(self) -> list[County]:
        """Return a list of all counties, sorted by ID."""
        return [County(**vars(row)) for row in self._rows(_county, None)]

    def get_all_classes(self) -> list[OccurrenceClass]:
        """Return a list of all classes, sorted by ID."""
        return [OccurrenceClass(**vars(row)) for row in self._rows(_class, None)]

    def get_all_occurrences(self) -> list[CountyClass]:
        """Return a list with the county_id and class_id for every defined occurrence, sorted."""
        keys = _occurrence.c.CountyID, _occurrence.c.ClassID
        return [CountyClass(**vars(row)) for row in self.select(select(*keys).order_by(*keys))]

    def get_occurrences(self, county_id: int, class_name: str) -> list[float]:
        """Return the 48 occurrence values for a given county ID and class name; an empty list if there are none."""
        named = (_occurrence.c.CountyID == plain(county_id)) & (_class.c.Name == class_name)
        rows = self._run(select(_occurrence.c.Value).join(_class).where(named))
        return [value for (weeks,) in rows for value in _weeks(weeks).tolist()]

    def get_all_values(self) -> list[tuple[str, str, np.ndarray]]:
        """Return county code, class name and values, float64 (48,), of every defined occurrence, sorted."""
        query = select(_county.c.Code, _class.c.Name, _occurrence.c.Value).join_from(_occurrence, _county).join(_class)
        rows = self._run(query.order_by(_county.c.Code, _class.c.Name))
        return [(code, name, _weeks(weeks)) for code, name, weeks in rows]

    def _delete(self, table: Table, id: int) -> None:
        if not self._write(delete(table).filter_by(ID=plain(id))).rowcount:
            raise EarshotError(self.db_path, f"no {table.name} has ID {id}", "give an ID that is in the database")


def _weeks(value: bytes) -> np.ndarray:
    return np.frombuffer(value, "<f8")


def write_database(rows: Iterable[OccurrenceRow], path: str | Path) -> None:
    """Write the rows of an occurrence table, sorted, as a new database in the place of `path`.

    The same rows give the same bytes, whatever the version of SQLite.
    """
    with atomic(path) as part:
        part.with_name(f"{part.name}-journal").unlink(missing_ok=True)  # of a run that was killed
        os.truncate(part, 0)  # not removed: it is locked against others that write the same
        with OccurrenceDatabase(part) as database:
            database.insert_rows(rows)
        fix_header(part, hashlib.sha256(memoryview(part.read_bytes())[HEADER_BYTES:]).hexdigest())
