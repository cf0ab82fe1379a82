"""Rows of any table of a database: one way to query, insert, change and delete, whatever the table.

The methods that get_rows, count_rows, update_rows and delete_rows make for a table are described by its columns.
"""

import re
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    LargeBinary,
    Select,
    Table,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError

from lib.core.databases import WRITING, numbering
from lib.core.errors import EarshotError

Filters = dict[str, Any] | None
Rows = list[SimpleNamespace]

JOINED_WORDS = {
    "file_name": "filename",
    "spec_group": "specgroup",
    "spec_value": "specvalue",
    "sound_type": "soundtype",
}
"""Parts of column names that are one word in attributes."""


def attribute_of(column: str) -> str:
    """The attribute that holds a column's value, such as `alt_name` for AltName."""
    name = re.sub("(?<=[a-z])(?=[A-Z])", "_", column).lower()
    for apart, joined in JOINED_WORDS.items():
        name = name.replace(apart, joined)
    return name


@cache
def filters_of(table: Table) -> dict[str, ColumnElement | tuple[Column, Column]]:
    """What rows of a table can be filtered by: its columns, and columns of the rows that it refers to.

    The latter are a reference and the column that it leads to: the name of what is referred to (`CategoryName` or
    `Category`), and its other columns where no own one is called so (`FileName` of a segment's recording).
    """
    found: dict[str, ColumnElement | tuple[Column, Column]] = {column.name: column for column in table.columns}
    for reference in table.columns:
        for key in reference.foreign_keys:
            other = key.column.table
            if "Name" in other.c:
                names = {other.name: other.c.Name, f"{other.name}Name": other.c.Name}
            else:
                names = {}
            names |= {column.name: column for column in other.columns if column.name not in ("ID", "Name")}
            for name, column in names.items():
                if not isinstance(column.type, LargeBinary):
                    found.setdefault(name, (reference, column))
    return found


def plain(value: Any) -> Any:
    """A value as SQLite stores it right: it takes NumPy's numbers for bytes."""
    return value.item() if isinstance(value, np.generic) else value


def get_rows(table: Table, order: str = "ID") -> Callable[..., Rows]:
    def get(self: "Database", filters: Filters = None) -> Rows:
        return self._rows(table, filters, order=order)

    attributes = ", ".join(attribute_of(column.name) for column in table.columns)
    _described(get, table, f"Rows of the {table.name} table.", f"A SimpleNamespace for each row: {attributes}.")
    return _named(get, f"get_{attribute_of(table.name)}")


def count_rows(table: Table) -> Callable[..., int]:
    def count(self: "Database", filters: Filters = None) -> int:
        query = select(func.count()).select_from(table).where(*self._conditions(table, filters))
        return self._run(query)[0][0]

    _described(count, table, f"Number of rows of the {table.name} table.", "How many there are.")
    return _named(count, f"get_{attribute_of(table.name)}_count")


def delete_rows(table: Table) -> Callable[..., int]:
    def remove(self: "Database", filters: Filters = None) -> int:
        return self._write(delete(table).where(*self._conditions(table, filters))).rowcount

    what = f"Delete rows of the {table.name} table, with the rows of other tables that belong to them."
    _described(remove, table, what, "How many rows of this table were deleted.")
    return _named(remove, f"delete_{attribute_of(table.name)}")


def update_rows(table: Table) -> Callable[..., None]:
    def change(self: "Database", id: int, field: str, value: Any) -> None:
        column = self._column(table, field)
        statement = update(table).filter_by(ID=plain(id)).values({column.name: plain(value)})
        if not self._write(statement).rowcount:
            raise EarshotError(self.db_path, f"{table.name} has no row with ID {id}", "look it up first")

    change.__doc__ = f"""Change one value in the {table.name} table.

        Args:
            id: ID of the row.
            field: name of the column, in any case:
                {", ".join(column.name for column in table.columns)}.
            value: what to set it to.

        Raises EarshotError if there is no such row or column, or the value cannot stand there.
        """
    return _named(change, f"update_{attribute_of(table.name)}")


def _described(method: Callable, table: Table, what: str, returns: str) -> None:
    """Give a method a docstring that names what the rows of its table can be filtered by."""
    names, returned = textwrap.wrap(f"{', '.join(filters_of(table))} (in any case).", 90), textwrap.wrap(returns, 100)
    method.__doc__ = f"""{what}

        Args:
            filters: values by the names of columns, all of which a row must have; None: all rows. Names are
                {(chr(10) + 16 * " ").join(names)}

        Returns:
            {(chr(10) + 12 * " ").join(returned)}

        Raises EarshotError for the name of a column that there is not.
        """


def _named(method: Callable, name: str) -> Callable:
    method.__name__ = name
    method.__qualname__ = f"Database.{name}"
    return method


class Database:
    """An open database file, and what can be done with the rows of any of its tables.

    Several threads may use it: each change is made by itself, and a transaction makes the others wait.

    IDs hold as long as the database is open: if another process renumbers the rows meanwhile, nothing is read or
    written any more.

    db_path: SQLite file, which `engine` opens. Methods raise EarshotError.
    """

    def __init__(self, db_path: str | Path, engine: Engine) -> None:
        self.db_path = db_path
        self._engine = engine
        self._connection = engine.connect()
        self._together = False
        self._lock = threading.RLock()  # held throughout a transaction, which belongs to one thread
        with self._errors():
            self._numbering = numbering(self._connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._connection.close()
            self._engine.dispose()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes within the block happen together, at its end; or none, if it ends with an exception.

        Within another such block, this is a part of that one.
        """
        with self._lock:
            if self._together:
                yield
                return
            self._together = True
            try:
                yield
                self._commit()
            except BaseException:
                self._rollback()
                raise
            finally:
                self._together = False

    def change(self, work: Callable[[Connection], None]) -> None:
        """Do some work with the connection, as one change."""
        with self.transaction(), self._errors():
            self._begin()
            work(self._connection)

    def optimize(self) -> None:
        """Gather the statistics by which SQLite plans queries; worth it after many changes."""
        with self.transaction():
            for statement in ("ANALYZE", "PRAGMA optimize"):
                self._write(text(statement))
            self._numbering = numbering(self._connection)

    def _rows(self, table: Table, filters: Filters, *columns: Any, order: str = "ID") -> Rows:
        query = select(*(columns or (table,))).where(*self._conditions(table, filters))
        return self.select(query.order_by(table.c[order]))

    def select(self, query: Select) -> Rows:
        """What a query of the tables gives: a SimpleNamespace a row."""
        names = [attribute_of(column.name) for column in query.selected_columns]
        return [SimpleNamespace(**dict(zip(names, row, strict=True))) for row in self._run(query)]

    def _conditions(self, table: Table, filters: Filters) -> list[ColumnElement[bool]]:
        conditions = []
        for name, value in (filters or {}).items():
            value = plain(value)
            column = self._column(table, name, joined=True)
            if isinstance(column, tuple):
                reference, column = column
                conditions.append(reference.in_(select(column.table.c.ID).where(column == value)))
            else:
                conditions.append(column == value)
        return conditions

    def _column(self, table: Table, name: str, joined: bool = False) -> Any:
        """The column of that name, in any case and with or without underscores; joined: see filters_of."""
        allowed = filters_of(table) if joined else {column.name: column for column in table.columns}
        for known, column in allowed.items():
            if known.lower() == str(name).replace("_", "").lower():
                return column
        raise EarshotError(self.db_path, f"{table.name} has no column {name}", f"it has {', '.join(allowed)}")

    def _insert(self, table: Table, **values: Any) -> int:
        return self._write(insert(table).values({name: plain(value) for name, value in values.items()})).lastrowid

    def _write(self, statement: Any, rows: list[dict] | None = None) -> Any:
        """Run a statement that changes something. rows: values to run it with, once for each."""
        with self._lock, self._errors():
            self._begin()
            result = self._connection.execute(statement, rows)
            if not self._together:
                self._commit()
            return result

    def _begin(self) -> None:
        """Begin a transaction, unless one is open. Raises EarshotError if the rows were renumbered meanwhile."""
        if self._connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]
            return
        self._connection.execute(text("BEGIN"))
        if numbering(self._connection) != self._numbering:
            self._rollback()
            remedy = "open it again, and look IDs up anew"
            raise EarshotError(self.db_path, "another process has renumbered its rows since it was opened", remedy)

    def _commit(self) -> None:
        with self._errors():
            self._connection.commit()

    def _run(self, query: Any) -> list:
        """The rows that a query gives."""
        with self._lock, self._errors():
            self._begin()
            rows = list(self._connection.execute(query))
            if not self._together:
                self._commit()
            return rows

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (UnicodeDecodeError, OverflowError) as error:  # of Python's SQLite module
            if not self._together:
                self._rollback()
            if isinstance(error, OverflowError):
                raise EarshotError(self.db_path, str(error), "check the values") from None
            raise EarshotError(self.db_path, f"is damaged ({error})", "remove it, or restore a copy") from None
        except SQLAlchemyError as error:
            if self._connection.closed:
                raise EarshotError(self.db_path, "was closed", "open it again") from None
            if not self._together:
                self._rollback()
            raise EarshotError(self.db_path, *_fault(error)) from None

    def _rollback(self) -> None:
        self._connection.rollback()
        if not self._connection.closed:  # where a commit has failed, SQLAlchemy takes the transaction for ended
            self._connection.connection.rollback()


def _fault(error: SQLAlchemyError) -> tuple[str, str]:
    """What is wrong, and what to do about it."""
    reason = str(getattr(error, "orig", None) or error)
    if isinstance(error, IntegrityError):
        return _broken_rule(reason)
    if isinstance(error, OperationalError):  # it is locked, full or read-only
        return reason, WRITING
    return reason, "check the values, and that the file is whole"


def _broken_rule(reason: str) -> tuple[str, str]:
    rule, _, columns = reason.partition(" constraint failed")
    what = columns.removeprefix(": ")
    return {
        "UNIQUE": (f"a row with that value of {what} already exists", "use it, or choose another value"),
        "NOT NULL": (f"{what} must have a value", "give one"),
        "FOREIGN KEY": ("the row that it refers to does not exist", "insert that one first"),
    }.get(rule, (reason, "check the values"))
