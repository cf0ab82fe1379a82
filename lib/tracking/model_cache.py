"""Copies of models on this machine, of which the least recently used go once all of them take too much room.

A process that uses a copy has a shared lock on a file beside it until it ends, and the time of that file says when the
copy was last used.
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

from lib.tracking.logged_models import ABANDONED

LARGEST = 20 * 10**9
"""Bytes of all copies: a few hundred usual models, or some dozen large ones, beside 6 GB that the environment takes."""
UNPACKED = "-unpacked"
"""How the folder of an archive's files is called, after the copy that the archive is in."""

_in_use: dict[Path, int] = {}
_in_use_lock = threading.Lock()


def copy_lock(folder: Path) -> FileLock:
    """The lock of a copy that must be held while it is made, removed, or begun to be used."""
    return FileLock(folder.with_name(f".{folder.name}.lock"))


def use_copy(folder: Path) -> None:
    """Keep a copy, whose copy_lock is held, from being removed until this process ends."""
    mark = _mark_of(folder)
    descriptor = os.open(mark, os.O_RDONLY | os.O_CREAT, 0o666)
    with suppress(OSError):  # another user's file, or a network drive that has no locks
        os.utime(descriptor)
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    with _in_use_lock:
        before = _in_use.pop(mark, None)
        _in_use[mark] = descriptor
    if before is not None:  # only now: the copy is in use all the time
        os.close(before)


def remove_unused_copies(cache: Path) -> None:
    """Remove copies that no process uses, least recently used first, until all take at most LARGEST bytes.

    What was used a day ago or later stays: people may have been told the copy's path.
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
                part = folder.with_name(f".{uuid.uuid4().hex}.part")  # which is removed later if this process is killed
                path.rename(part)
                shutil.rmtree(part, ignore_errors=True)
            for path in (*folder.parent.glob(f".{unpacked.name}.*"), mark, Path(lock.lock_file)):
                path.unlink(missing_ok=True)
    except OSError:  # it is used, or another user's
        return False
    finally:
        lock.release()
    return True


def _mark_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.use.lock")


def _unpacked_of(folder: Path) -> Path:
    return folder.with_name(folder.name + UNPACKED)


def _last_use(folder: Path) -> float:
    """Seconds since 1970; of a copy that an earlier version made, when it was made."""
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
