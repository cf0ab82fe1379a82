"""The occurrence database: counties, classes, and 48 weekly values for each pair of them, in SQLite."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sqlalchemy import URL, ForeignKey, LargeBinary, create_engine, delete, event, insert, select
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.types import TypeDecorator

from lib.files import atomic, printable
from lib.occurrence import OccurrenceError
from lib.occurrence.places import County, box_fault
from lib.occurrence.season import WEEKS
from lib.occurrence.table import Row


class OccurrenceClass(NamedTuple):
    id: int
    name: str


class CountyClass(NamedTuple):
    """A county and a class for which there are occurrence values."""

    county_id: int
    class_id: int


class WeekValues(TypeDecorator):
    """Float64 (48,) stored as little-endian bytes."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value, dialect) -> bytes:
        return np.asarray(value, dtype="<f8").tobytes()

    def process_result_value(self, value, dialect) -> np.ndarray:
        return np.frombuffer(value, dtype="<f8")


class _Table(DeclarativeBase):
    pass


class _County(_Table):
    __tablename__ = "County"
    id: Mapped[int] = mapped_column("ID", primary_key=True)
    name: Mapped[str] = mapped_column("Name")
    code: Mapped[str] = mapped_column("Code", unique=True)
    min_x: Mapped[float | None] = mapped_column("MinX")
    max_x: Mapped[float | None] = mapped_column("MaxX")
    min_y: Mapped[float | None] = mapped_column("MinY")
    max_y: Mapped[float | None] = mapped_column("MaxY")


class _Class(_Table):
    __tablename__ = "Class"
    id: Mapped[int] = mapped_column("ID", primary_key=True)
    name: Mapped[str] = mapped_column("Name", unique=True)


class _Occurrence(_Table):
    __tablename__ = "Occurrence"
    county_id: Mapped[int] = mapped_column("CountyID", ForeignKey(_County.id, ondelete="CASCADE"), primary_key=True)
    class_id: Mapped[int] = mapped_column(
        "ClassID", ForeignKey(_Class.id, ondelete="CASCADE"), primary_key=True, index=True
    )
    value: Mapped[np.ndarray] = mapped_column("Value", WeekValues)


class OccurrenceDatabase:
    """SQLite database interface for class occurrence data; each call is a transaction of its own.

    db_path: path to the database file, which is made if it does not exist. It can be used in a `with` block. Methods
    raise OccurrenceError where the file or a value is not usable.
    """

    def __init__(self, db_path: str | Path = "data/occurrence.db"):
        self.db_path = str(db_path)
        self._engine = create_engine(URL.create("sqlite", database=self.db_path))
        event.listen(self._engine, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys = ON"))
        with self._errors():
            _Table.metadata.create_all(self._engine)

    def __enter__(self) -> "OccurrenceDatabase":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        self._engine.dispose()

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
            raise OccurrenceError(f"county {code}: {fault}; correct its box")
        return self._insert(_County(name=name, code=code, min_x=min_x, max_x=max_x, min_y=min_y, max_y=max_y))

    def insert_class(self, name: str) -> int:
        """Insert a class record and return the ID."""
        return self._insert(_Class(name=name))

    def insert_occurrences(self, county_id: int, class_id: int, value: Sequence[float]) -> None:
        """Insert an occurrence record for a given county and class. value: 48 weekly values, 0..1."""
        values = np.asarray(value, dtype=np.float64)
        if values.shape != (WEEKS,) or not np.all((values >= 0) & (values <= 1)):
            raise OccurrenceError(f"occurrences of class {class_id} in county {county_id}: give {WEEKS} values of 0..1")
        with self._transaction() as session:
            session.add(_Occurrence(county_id=county_id, class_id=class_id, value=values))

    def insert_rows(self, rows: Iterable[Row]) -> None:
        """Insert the rows of an occurrence table into an empty database, in one transaction.

        IDs count from 1 in the order in which counties and classes first appear.
        """
        counties: dict[str, dict] = {}
        classes: dict[str, dict] = {}
        occurrences = []
        for row in rows:
            min_x, max_x, min_y, max_y = row.box
            county = {"name": row.county_name, "code": row.county_code, "min_x": min_x, "max_x": max_x}
            county |= {"id": len(counties) + 1, "min_y": min_y, "max_y": max_y}
            county_id = counties.setdefault(row.county_code, county)["id"]
            class_id = classes.setdefault(row.class_name, {"id": len(classes) + 1, "name": row.class_name})["id"]
            occurrences.append({"county_id": county_id, "class_id": class_id, "value": row.weeks})
        if not occurrences:
            return
        with self._transaction() as session:
            session.execute(insert(_County), list(counties.values()))
            session.execute(insert(_Class), list(classes.values()))
            session.execute(insert(_Occurrence), occurrences)

    def delete_county(self, id: int) -> None:
        """Delete a county record specified by ID, and its occurrences."""
        self._delete(_County, id)

    def delete_class(self, id: int) -> None:
        """Delete a class record specified by ID, and its occurrences."""
        self._delete(_Class, id)

    def get_all_counties(self) -> list[County]:
        """Return a list of all counties, sorted by ID."""
        table = _County
        columns = (table.id, table.name, table.code, table.min_x, table.max_x, table.min_y, table.max_y)
        return [County(*row) for row in self._select(select(*columns).order_by(table.id))]

    def get_all_classes(self) -> list[OccurrenceClass]:
        """Return a list of all classes, sorted by ID."""
        return [OccurrenceClass(*row) for row in self._select(select(_Class.id, _Class.name).order_by(_Class.id))]

    def get_all_occurrences(self) -> list[CountyClass]:
        """Return a list with the county_id and class_id for every defined occurrence, sorted."""
        keys = _Occurrence.county_id, _Occurrence.class_id
        return [CountyClass(*row) for row in self._select(select(*keys).order_by(*keys))]

    def get_occurrences(self, county_id: int, class_name: str) -> list[float]:
        """Return the 48 occurrence values for a given county ID and class name; an empty list if there are none."""
        query = (
            select(_Occurrence.value)
            .join(_Class, _Class.id == _Occurrence.class_id)
            .where(_Occurrence.county_id == county_id, _Class.name == class_name)
        )
        return [value for (weeks,) in self._select(query) for value in weeks.tolist()]

    def get_all_values(self) -> list[tuple[str, str, np.ndarray]]:
        """Return county code, class name and values, float64 (48,), of every defined occurrence, sorted."""
        query = (
            select(_County.code, _Class.name, _Occurrence.value)
            .join(_County, _County.id == _Occurrence.county_id)
            .join(_Class, _Class.id == _Occurrence.class_id)
            .order_by(_County.code, _Class.name)
        )
        return [tuple(row) for row in self._select(query)]

    def _insert(self, record: _County | _Class) -> int:
        with self._transaction() as session:
            session.add(record)
            session.flush()
            return record.id

    def _delete(self, table: type[_County] | type[_Class], id: int) -> None:
        with self._transaction() as session:
            if not session.execute(delete(table).where(table.id == id)).rowcount:  # type: ignore[attr-defined]
                what = f"{printable(self.db_path)}: no {table.__tablename__} has ID {id}"
                raise OccurrenceError(f"{what}; give an ID that is in the database")

    def _select(self, query) -> Sequence:
        with self._transaction() as session:
            return session.execute(query).all()

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        with self._errors(), Session(self._engine) as session, session.begin():
            yield session

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError as error:
            raise OccurrenceError(f"{printable(self.db_path)}: {error.orig}; nothing was inserted") from None
        except DatabaseError as error:
            action = "check that the path is right, that you may write there, and that it is an occurrence database"
            raise OccurrenceError(f"{printable(self.db_path)}: {error.orig}; {action}") from None


def write_database(rows: Iterable[Row], path: str | Path) -> None:
    """Write the rows of an occurrence table, sorted, as a new database in the place of `path`.

    The same rows give the same bytes.
    """
    with atomic(path) as part:
        for left_over in (part, part.with_name(f"{part.name}-journal")):  # of a run that was killed
            left_over.unlink(missing_ok=True)
        with OccurrenceDatabase(part) as database:
            database.insert_rows(rows)
