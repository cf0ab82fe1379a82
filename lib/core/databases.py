"""SQLite files: made with their tables or not at all, recognized by their header."""

import os
import sqlite3
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import URL, Connection, Engine, LargeBinary, MetaData, Table, create_engine, event, insert, text
from sqlalchemy.exc import DatabaseError, MultipleResultsFound, NoResultFound
from sqlalchemy.pool import NullPool, StaticPool
from sqlalchemy.schema import CreateIndex, CreateTable

from lib.core.errors import EarshotError
from lib.core.files import project_root

IN_MEMORY = ":memory:"
SQLITE = "sqlite:///"
"""What the URL of an SQLite file begins with."""
WRITING = "check that you may write there, that it has room and that nothing else is using it"
"""What to do where a database cannot be written."""
DAMAGE = (
    *(sqlite3.Error, NoResultFound, MultipleResultsFound),  # the latter where an index does not fit its table
    *(ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError, zlib.error),
)
"""What reading content raises that was not written here: text that is not UTF-8, numbers of impossible size, ..."""
FIXED_VERSION = 3_000_000
"""What fix_header notes in place of SQLite's version."""
LOCK_SECONDS = 60.0
"""How long fix_header waits for those who read or write the file."""


class Kind(NamedTuple):
    """What a database file is.

    Args:
        name: in words.
        metadata: its tables.
        application: SQLite's application_id, which tells whose file it is.
        version: SQLite's user_version.
        remedy: what makes such a file.
    """

    name: str
    metadata: MetaData
    application: int
    version: int
    remedy: str


class Header(NamedTuple):
    """What a file says of itself; tables: their names, without SQLite's own."""

    application: int
    version: int
    tables: set[str]

    def is_of(self, kind: Kind) -> bool:
        """Whether it is a file of that kind, of any version; one without an application_id is by its tables."""
        return self.application == kind.application or (
            self.application == 0 and self.tables == set(kind.metadata.tables)
        )


def database_of(url: str) -> Path | None:
    """The SQLite file that a URL names, a relative path from the project's folder on; None for other databases."""
    if not url.startswith(SQLITE):
        return None
    return Path(os.path.normpath(project_root().absolute() / url.removeprefix(SQLITE)))


def open_database(path: Path, kind: Kind, create: bool) -> Engine:
    """An engine for a database file, whose connections enforce foreign keys.

    Args:
        path: the file.
        kind: what it must be.
        create: make the file with its folder and tables where it is missing.

    Raises EarshotError if it is missing (without create), cannot be opened, or is of another kind or version.
    """
    if create:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EarshotError(path, f"cannot be made ({error.strerror})", "check that you may write there") from None
    elif not path.is_file():
        raise EarshotError(path, "no such file", f"{kind.remedy} first")
    engine = engine_of(path)
    header = header_of(engine, path, kind)
    if header.tables and not header.is_of(kind):
        raise EarshotError(path, "is another database", "give a file of its own")
    if header.tables and header.version != kind.version:
        remedy = f"{kind.remedy} to rebuild it, or give another file"
        raise EarshotError(path, f"is a {kind.name} of another version", remedy)
    if not header.tables and not create:
        raise EarshotError(path, "is an empty database", kind.remedy)
    if not header.tables:
        with usable(path, kind):
            _make(engine, kind)
    return engine


def header_of(engine: Engine, path: Path, kind: Kind) -> Header:
    """What the file says of itself. Raises EarshotError if it cannot be read, such as a file of another kind."""
    try:
        with engine.connect() as connection:
            names = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars()
            tables = {name for name in names if not name.startswith("sqlite_")}
            return Header(pragma(connection, "application_id"), pragma(connection, "user_version"), tables)
    except (DatabaseError, UnicodeDecodeError) as error:  # the latter in the text of an error
        remedy = f"remove it and {kind.remedy}" if path.is_file() else "check that you may write there"
        reason = error.orig if isinstance(error, DatabaseError) else "damaged"
        raise EarshotError(path, f"cannot be opened ({reason})", remedy) from None


def engine_of(path: Path) -> Engine:
    pool = StaticPool if str(path) == IN_MEMORY else NullPool  # in memory, each connection would be another database
    engine = create_engine(URL.create("sqlite", database=str(path)), poolclass=pool)

    @event.listens_for(engine, "connect")
    def _configure(connection, _record) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA cache_size = -65536")

    return engine


def pragma(connection: Connection, name: str) -> int:
    return connection.execute(text(f"PRAGMA {name}")).scalar_one()


@contextmanager
def usable(path: str | Path, kind: Kind) -> Iterator[None]:
    """Turn a fault of a database into an EarshotError."""
    try:
        yield
    except UnicodeDecodeError:  # in the text of an error
        raise EarshotError(path, "is damaged", f"remove it and {kind.remedy}") from None
    except DatabaseError as error:
        remedy = f"{WRITING}; if it is damaged, remove it and {kind.remedy}"
        raise EarshotError(path, f"cannot be used ({error.orig})", remedy) from None


@contextmanager
def readable(path: str | Path, kind: Kind) -> Iterator[None]:
    """Turn a fault of a database, or content that was not written here, into an EarshotError.

    For blocks that only read, and turn what they read into other things.
    """
    with usable(path, kind):
        try:
            yield
        except DAMAGE as error:
            fault = f"is damaged ({type(error).__name__}: {str(error).partition(chr(10))[0]})"
            raise EarshotError(path, fault, f"remove it and {kind.remedy}") from error


@contextmanager
def whole_or_nothing(connection: Connection) -> Iterator[None]:
    """What is written inside is taken back if the block ends with an error, as if it had never been written.

    It is a part of the transaction that is open, or opens one, which goes on behind the block.
    """
    if not connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]
        connection.execute(text("BEGIN"))  # or the end of the savepoint would be a commit
    try:
        with connection.begin_nested():
            yield
    except DatabaseError as error:
        first = getattr(error.orig, "__context__", None)
        if isinstance(first, DatabaseError):  # a full disk, say, which ended the transaction with its savepoints
            raise first from None
        raise


def insert_rows(connection: Connection, table: Table, rows: Sequence[tuple], replace: bool = False) -> None:
    """Insert many rows, values in the order of the table's columns, of types that SQLite knows.

    It takes a third less time than execute, which looks at each value. replace: rows of the same primary key.
    """
    statement = insert(table).prefix_with("OR REPLACE") if replace else insert(table)
    if rows:
        connection.exec_driver_sql(str(statement.compile(dialect=connection.dialect)), list(rows))


def vacuum(connection: Connection) -> None:
    """Rewrite the file without its free pages, in an order that follows from its rows."""
    connection.rollback()
    connection.connection.cursor().execute("VACUUM")


def renumber(path: Path, kind: Kind, order: Mapping[str, str]) -> None:
    """Number the rows of a file from 1 in a given order, and pack it, so that its bytes follow from its content.

    Others may have the file open; they wait, or this does.

    Args:
        path: the file.
        kind: what it is; each table has an ID, and refers to others by theirs.
        order: by table, what to order its rows by; columns that refer to other tables have the new numbers.
    """
    engine = engine_of(path)
    with usable(path, kind), engine.connect() as connection:
        connection.execute(text("PRAGMA foreign_keys = OFF"))
        connection.execute(text("BEGIN IMMEDIATE"))
        is_new = {
            table.name: _renumber_table(connection, table, order[table.name]) for table in kind.metadata.sorted_tables
        }
        for table in kind.metadata.sorted_tables:
            references = _references(table)
            if is_new[table.name] or any(is_new[other] for other in references.values()):
                # By way of negative numbers, since each row must be unique at any moment.
                new = {
                    name: f"-{_new_number(other, name)}" for name, other in ({"ID": table.name} | references).items()
                }
                back = {name: f'-"{name}"' for name in new}
                for values in (new, back):
                    changes = ", ".join(f'"{name}" = {value}' for name, value in values.items())
                    connection.execute(text(f'UPDATE main."{table.name}" SET {changes}'))
        for statistics in ("sqlite_stat1", "sqlite_stat4"):
            connection.execute(text(f"DROP TABLE IF EXISTS {statistics}"))
        connection.commit()
        for layout in ("journal_mode = DELETE", "page_size = 4096", "auto_vacuum = NONE"):  # which other tools may set
            connection.connection.cursor().execute(f"PRAGMA {layout}")
        vacuum(connection)
    engine.dispose()


def _renumber_table(connection: Connection, table: Table, order: str) -> bool:
    """Make a temporary table of the old and new numbers of a table's rows; returns whether any differ."""
    references = _references(table)
    columns = ", ".join(
        f'{_new_number(references[column.name], column.name)} AS "{column.name}"'
        if column.name in references
        else f'"{column.name}"'
        for column in table.columns
        if not isinstance(column.type, LargeBinary)
    )
    rows = f'SELECT {columns} FROM main."{table.name}"'
    numbers = f"SELECT ID AS old, ROW_NUMBER() OVER (ORDER BY {order}) AS new FROM ({rows})"
    connection.execute(text(f'CREATE TEMP TABLE "new {table.name}" AS {numbers}'))
    connection.execute(text(f'CREATE UNIQUE INDEX temp."by old {table.name}" ON "new {table.name}" (old)'))
    return bool(connection.execute(text(f'SELECT EXISTS (SELECT 1 FROM "new {table.name}" WHERE old <> new)')).scalar())


def _references(table: Table) -> dict[str, str]:
    """The columns of a table that refer to other tables, and the names of these."""
    return {column.name: key.column.table.name for column in table.columns for key in column.foreign_keys}


def _new_number(table: str, column: str) -> str:
    return f'(SELECT new FROM temp."new {table}" WHERE old = "{column}")'


def numbering(connection: Connection) -> int:
    """What changes when rows are renumbered: SQLite's schema cookie, see fix_header, which is the same for the same
    content. It also changes when the file is packed, or gets statistics for the first time."""
    return pragma(connection, "schema_version")


def has_much_free(connection: Connection) -> bool:
    """Whether a quarter of the file is free."""
    return pragma(connection, "freelist_count") > pragma(connection, "page_count") // 4


def fix_header(path: Path, digest: str) -> None:
    """Make the header of a database file depend on its content alone.

    SQLite counts there how often the file and its tables were changed, so that readers notice, and writes down its own
    version. The counts become numbers that follow from the content: they still differ wherever the content does.

    Args:
        path: the file.
        digest: of its content, hex digits.

    Raises EarshotError if others use the file for longer than LOCK_SECONDS.
    """
    if _fixed_header(path, digest) == _header(path):
        return
    try:
        with closing(sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")  # nobody reads or writes the file meanwhile
            header = _fixed_header(path, digest)
            with path.open("r+b") as file:
                file.write(header)
    except sqlite3.Error as error:
        raise EarshotError(path, f"cannot be finished ({error})", "run the same command again") from None


def _header(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(100)


def _fixed_header(path: Path, digest: str) -> bytes:
    header, count = bytearray(_header(path)), int(digest[:8], 16)
    # File change counter, schema cookie, version-valid-for, SQLite's version (sqlite.org/fileformat2.html)
    for offset, value in ((24, count), (40, count), (92, count), (96, FIXED_VERSION)):
        struct.pack_into(">I", header, offset, value)
    return bytes(header)


def change_count(path: Path) -> int:
    """What SQLite changes with each transaction that writes."""
    return int.from_bytes(_header(path)[24:28], "big")


def is_as_fixed(path: Path) -> bool:
    """Whether nothing was written since fix_header: SQLite would have put down its own version."""
    return _header(path)[96:] == FIXED_VERSION.to_bytes(4, "big")


def _make(engine: Engine, kind: Kind) -> None:
    """Make the tables in one transaction: whoever is interrupted leaves an empty file."""
    with engine.connect() as connection:
        connection.execute(text("BEGIN"))
        for table in kind.metadata.sorted_tables:  # not create_all: the order in which it makes indexes varies
            connection.execute(CreateTable(table))
            for index in sorted(table.indexes, key=lambda index: str(index.name)):
                connection.execute(CreateIndex(index))
        connection.execute(text(f"PRAGMA application_id = {kind.application}"))
        connection.execute(text(f"PRAGMA user_version = {kind.version}"))
        connection.commit()
