"""The curation database: opened by URL, read in blocks, written in transactions that wait for each other."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Engine, Executable, Row, create_engine, event, text
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from lib.core.databases import SQLITE, WRITING, database_of, open_database
from lib.core.errors import EarshotError
from lib.core.files import without_password
from lib.core.locks import sole_writer
from lib.curation.store.curation_tables import FILE

DEFAULT_URL = f"{SQLITE}data/curation.db"
LOCK_SECONDS = 600.0
"""How long a writer waits for another one, which may be uploading a large data set."""
ROWS_A_BLOCK = 1_000
_MAKING = 0x4541_5243
"""Number of the lock that keeps two processes from making the tables at once, where there are no files to lock."""


class CurationDatabase:
    """The tables of lib.curation.store.curation_tables behind a URL. Threads and processes may share it.

    url: SQLAlchemy URL. A relative SQLite path counts from the project's folder, and the file is made if it is missing;
        in PostgreSQL, the tables are.

    Raises EarshotError if it cannot be opened, or is another database.
    """

    def __init__(self, url: str = DEFAULT_URL) -> None:
        self.name = without_password(url)
        path = database_of(url)
        try:
            if path is not None:
                self.name = str(path)
                self._engine = _sqlite_engine(path)
                with sole_writer(path, LOCK_SECONDS):  # others that make it at the same moment wait
                    open_database(path, FILE, create=True).dispose()
                    with self._engine.connect() as connection:
                        connection.exec_driver_sql("PRAGMA journal_mode = WAL")  # readers need not wait for writers
            else:
                self._engine = create_engine(url, pool_pre_ping=True)
                self._make_tables()
        except (SQLAlchemyError, ImportError) as error:
            raise self._fault(error, "give an SQLAlchemy URL that can be reached") from None
        self._is_sqlite = self._engine.dialect.name == "sqlite"

    def _make_tables(self) -> None:
        with self._engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _MAKING})
            FILE.metadata.create_all(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection whose changes are made together at the block's end, or not at all.

        Other writers to an SQLite file wait as long as it lasts, and readers see what was there before it. Such a
        block must not be entered within another one, for which it would wait.
        """
        with self._errors(), self._engine.connect() as connection:
            if self._is_sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
            connection.commit()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees the database as it was at its first query."""
        with self._errors(), self._engine.connect() as connection:
            if self._is_sqlite:
                connection.exec_driver_sql("BEGIN")
            elif connection.dialect.name == "postgresql":
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    def rows(self, query: Executable) -> list[Row]:
        """All rows that a query gives."""
        with self.reading() as connection:
            return list(connection.execute(query))

    def blocks(self, query: Executable, size: int = ROWS_A_BLOCK) -> Iterator[list[Row]]:
        """The rows that a query gives, up to `size` at a time; only these are in memory."""
        with self.reading() as connection:
            result = connection.execution_options(stream_results=True, max_row_buffer=size).execute(query)
            for block in result.partitions(size):
                yield list(block)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError as error:
            raise self._fault(error, "there is such a row already, or what it refers to is gone: try again") from None
        except SQLAlchemyError as error:
            raise self._fault(error, WRITING) from None

    def _fault(self, error: Exception, remedy: str) -> EarshotError:
        reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        return EarshotError(self.name, f"cannot be used ({without_password(reason)})", remedy)


def _sqlite_engine(path: Path) -> Engine:
    """An engine whose connections wait for other writers, and begin transactions where they are told to."""
    engine = create_engine(f"{SQLITE}{path}", connect_args={"timeout": LOCK_SECONDS, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions begin where we say so
        for setting in ("foreign_keys = ON", "synchronous = NORMAL", "cache_size = -65536"):
            connection.execute(f"PRAGMA {setting}")

    return engine


def utc_now() -> str:
    """The time of day, ISO 8601, as the tables have it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
