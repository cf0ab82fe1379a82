"""Local copies of models; the least recently used are removed once all copies together take too much space.

A process that uses a copy holds a shared lock on a file beside it until it exits; that file's modification time is when
the copy was last used.
"""

import fcntl
import os
import shutil
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from lib.tracking.registry.logged_models import ABANDONED

LARGEST = 20 * 10**9
"""Bytes of all copies: hundreds of models of the usual size, or a few dozen large ones."""
UNPACKED = "-unpacked"
"""Suffix of the folder with the unpacked archive of a copy."""

_in_use: dict[Path, int] = {}
_in_use_lock = threading.Lock()


def copy_lock(folder: Path) -> FileLock:
    """The lock to hold while a copy is created or removed, or while a process begins to use it."""
    return FileLock(folder.with_name(f".{folder.name}.lock"))


def use_copy(folder: Path) -> None:
    """Protect a copy from removal until this process exits; its copy_lock must be held."""
    mark = _mark_of(folder)
    descriptor = os.open(mark, os.O_RDONLY | os.O_CREAT, 0o666)
    with suppress(OSError):  # another user's file, or a network drive that has no locks
        os.utime(descriptor)
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    with _in_use_lock:
        before = _in_use.pop(mark, None)
        _in_use[mark] = descriptor
    if before is not None:  # only now, so that the copy is protected throughout
        os.close(before)


def remove_unused_copies(cache: Path) -> None:
    """Remove copies that no process uses, least recently used first, until all take at most LARGEST bytes.

    Copies used within the last day stay: a user may have been told the path.
    """
    copies = [path for path in cache.glob("[!.]*") if path.is_dir() and not path.name.endswith(UNPACKED)]
    sizes = {folder: sum(map(_size_of, (folder, _unpacked_of(folder)))) for folder in copies}
    n_bytes = sum(sizes.values())
    for last_use, folder in sorted((_last_use(folder), folder) for folder in copies):
        if n_bytes <= LARGEST or last_use + ABANDONED > time.time():
            return
        if _remove(folder):
            n_bytes -= sizes[folder]


def _remove(folder: Path) -> bool:
    """Remove a copy with what was unpacked of it; returns False if a process uses it."""
    mark, unpacked = _mark_of(folder), _unpacked_of(folder)
    lock = copy_lock(folder)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    try:
        with mark.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for path in filter(Path.exists, (unpacked, folder)):
                part = folder.with_name(f".{uuid.uuid4().hex}.part")  # left by a killed process, it is removed later
                path.rename(part)
                shutil.rmtree(part, ignore_errors=True)
            for path in (*folder.parent.glob(f".{unpacked.name}.*"), mark, Path(lock.lock_file)):
                path.unlink(missing_ok=True)
    except OSError:  # it is in use, or another user's
        return False
    finally:
        lock.release()
    return True


def _mark_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.use.lock")


def _unpacked_of(folder: Path) -> Path:
    return folder.with_name(folder.name + UNPACKED)


def _last_use(folder: Path) -> float:
    """Seconds since 1970; when it was created, for a copy of an earlier version."""
    for path in (_mark_of(folder), folder):
        with suppress(OSError):
            return path.stat().st_mtime
    return 0.0


def _size_of(folder: Path) -> int:
    """Bytes of the files of a folder; 0 if another process removes it meanwhile."""
    try:
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    except OSError:
        return 0
