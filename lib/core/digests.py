"""Digests that say whether a file or plain data is still what it was."""

import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from lib.core.files import open_regular, project_root

READ_AT_ONCE = 2**22
"""Bytes; after each chunk the thread waits for its turn, so small ones are slow beside a busy thread."""
CACHE = Path(".cache/file_digests.db")
"""Digests of files that were read once, so that terabytes are not read again to see that they are the same; in the
project's folder."""


def digest_file(path: str | Path) -> str:
    """SHA-256 digest of a file's bytes, its first 32 hex digits. Processors have instructions for this one."""
    digest, chunk = hashlib.sha256(), bytearray(READ_AT_ONCE)
    with open_regular(path) as file:
        while n := file.readinto(chunk):
            digest.update(memoryview(chunk)[:n])
    return digest.hexdigest()[:32]


def digest_known_file(path: str | Path) -> str:
    """digest_file, or what it was if the file's size and time of change are as they were then."""
    return known_digest(os.path.abspath(path), state_of(path), lambda: digest_file(path))


def remembered_digest(path: str | Path) -> str | None:
    """What digest_known_file gives, if it need not read the file; else None. Raises OSError if there is no file."""
    return _open_cache().get(os.fsencode(os.path.abspath(path)), state_of(path))


def state_of(path: str | Path) -> str:
    """Size and time of change of a file, by which one notices that it was changed."""
    status = os.stat(path)
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ino}"


def known_digest(subject: str, state: str, compute: Callable[[], str]) -> str:
    """The digest of a subject, computed unless it is known from when the subject was in the same state."""
    cache = _open_cache()
    digest = cache.get(os.fsencode(subject), state)
    if digest is None:
        digest = compute()
        cache.put(os.fsencode(subject), state, digest)
    return digest


def digest_of(content: Any) -> str:
    """BLAKE2b digest (32 hex digits) of plain data, the same for equal content whatever the order of its keys."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def _open_cache() -> "_DigestCache":
    return _cache(project_root().absolute() / CACHE)


@lru_cache(maxsize=1)
def _cache(path: Path) -> "_DigestCache":
    return _DigestCache(path)


class _DigestCache:
    """Digests by path and state in an SQLite file. It is only a cache: whatever fails, it knows nothing.

    A damaged file is replaced. One that is locked, full or read-only is asked no more in this process: each question
    might wait.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._connection = self._opened()
        self._takes_more = True

    def _opened(self) -> sqlite3.Connection | None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return _open(self._path)
        except sqlite3.OperationalError:
            return None
        except (sqlite3.DatabaseError, UnicodeDecodeError):
            return self._replaced()
        except OSError:
            return None

    def _replaced(self) -> sqlite3.Connection | None:
        try:
            self._path.unlink()
            return _open(self._path)
        except (sqlite3.Error, OSError):
            return None

    def get(self, file: bytes, state: str) -> str | None:
        with self._lock:
            try:
                query = "SELECT Digest, Sum FROM Digest WHERE Path = ? AND State = ?"
                row = self._connection.execute(query, (file, state)).fetchone() if self._connection else None
            except sqlite3.OperationalError:
                row = self._connection = None
            except (sqlite3.DatabaseError, UnicodeDecodeError):
                row, self._connection = None, self._replaced()
        return row[0] if row and row[1] == _sum(file, state, row[0]) else None

    def put(self, file: bytes, state: str, digest: str) -> None:
        with self._lock:
            try:
                if self._connection and self._takes_more:
                    row = (file, state, digest, _sum(file, state, digest))
                    self._connection.execute("INSERT OR REPLACE INTO Digest VALUES (?, ?, ?, ?)", row)
            except (sqlite3.Error, UnicodeDecodeError):
                self._takes_more = False


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=1.0, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = MEMORY")
    connection.execute("PRAGMA synchronous = OFF")
    columns = "Path BLOB PRIMARY KEY, State TEXT NOT NULL, Digest TEXT NOT NULL, Sum TEXT NOT NULL"
    connection.execute(f"CREATE TABLE IF NOT EXISTS Digest ({columns}) WITHOUT ROWID")
    return connection


def _sum(file: bytes, state: str, digest: object) -> str:
    """What a row must add up to: a digest that the disk has changed is not noticed otherwise."""
    return hashlib.blake2b(repr((file, state, digest)).encode(), digest_size=8).hexdigest()
