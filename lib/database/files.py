"""Database files: made with their tables, and known again by two numbers in SQLite's header."""

from pathlib import Path
from typing import NamedTuple

from sqlalchemy import URL, Engine, MetaData, create_engine, event, text
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool, StaticPool
from sqlalchemy.schema import CreateIndex, CreateTable

from lib.errors import EarshotError

IN_MEMORY = ":memory:"
WRITING = "check that you may write there, that it has room and that nothing else is using it"
"""What to do where a database cannot be written."""


class Kind(NamedTuple):
    """What a database file is.

    name: in words. metadata: its tables. application: SQLite's application_id, which tells whose file it is. version:
    SQLite's user_version. remedy: what makes such a file.
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


def connect(path: Path, kind: Kind, create: bool) -> Engine:
    """An engine for a database file, whose connections enforce foreign keys.

    create: make the file with its folder and tables where it is missing. Raises EarshotError if it is missing (without
    create), cannot be opened, or is of another kind or version.
    """
    if create:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EarshotError(f"{path}: cannot be made ({error.strerror}); check that you may write there") from None
    elif not path.is_file():
        raise EarshotError(f"{path}: no such file; {kind.remedy} first")
    engine = engine_of(path)
    header = header_of(engine, path, kind)
    if header.tables and not header.is_of(kind):
        raise EarshotError(f"{path}: is another database; give a file of its own")
    if header.tables and header.version != kind.version:
        action = f"{kind.remedy} to make it anew, or give another file"
        raise EarshotError(f"{path}: is a {kind.name} of another version; {action}")
    if not header.tables and not create:
        raise EarshotError(f"{path}: is an empty database; {kind.remedy}")
    if not header.tables:
        _make(engine, path, kind)
    return engine


def header_of(engine: Engine, path: Path, kind: Kind) -> Header:
    """What the file says of itself. Raises EarshotError if it cannot be read, as none that is no database can."""
    try:
        with engine.connect() as connection:
            application, version = (
                connection.execute(text(f"PRAGMA {name}")).scalar_one() for name in ("application_id", "user_version")
            )
            names = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars()
            return Header(application, version, {name for name in names if not name.startswith("sqlite_")})
    except DatabaseError as error:
        action = f"remove it and {kind.remedy}" if path.is_file() else "check that you may write there"
        raise EarshotError(f"{path}: cannot be opened ({error.orig}); {action}") from None


def engine_of(path: Path) -> Engine:
    pool = StaticPool if str(path) == IN_MEMORY else NullPool  # in memory, each connection would be another database
    engine = create_engine(URL.create("sqlite", database=str(path)), poolclass=pool)

    @event.listens_for(engine, "connect")
    def _configure(connection, _record) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA cache_size = -65536")

    return engine


def _make(engine: Engine, path: Path, kind: Kind) -> None:
    try:
        with engine.begin() as connection:
            for table in kind.metadata.sorted_tables:  # not create_all: the order in which it makes indexes varies
                connection.execute(CreateTable(table))
                for index in sorted(table.indexes, key=lambda index: str(index.name)):
                    connection.execute(CreateIndex(index))
            connection.execute(text(f"PRAGMA application_id = {kind.application}"))
            connection.execute(text(f"PRAGMA user_version = {kind.version}"))
    except DatabaseError as error:
        raise EarshotError(f"{path}: cannot be written ({error.orig}); {WRITING}") from None
