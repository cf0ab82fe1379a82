"""Outputs that one process writes at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from lib.core.errors import EarshotError


@contextmanager
def sole_writer(path: str | Path, seconds: float = 0.0) -> Iterator[None]:
    """Keep other processes and threads from writing to a file, or to a folder of outputs, while the block lasts.

    The lock is a file beside it or, where only the folder itself may be written to, in it.

    seconds: how long to wait for another writer; -1: as long as it takes. Raises EarshotError if it is writing to it
    even then.
    """
    path = Path(path).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock = _acquired(path, seconds)
    except Timeout:
        raise EarshotError(path, "another process is writing to it", "wait for it, or give another output") from None
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)  # before the release: who waits for it notices, and makes another
        lock.release()


def _acquired(path: Path, seconds: float) -> FileLock:
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=seconds)
    try:
        lock.acquire()
    except PermissionError:
        if not path.is_dir():
            raise
        lock = FileLock(path / ".lock", timeout=seconds)
        lock.acquire()
    return lock
