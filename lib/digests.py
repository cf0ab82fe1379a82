"""Digests that say whether a file, plain data or code is still what it was."""

import hashlib
import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import diskcache

READ_AT_ONCE = 2**22
"""Bytes; after each chunk the thread waits for its turn, so small ones are slow beside a busy thread."""
LIB = Path(__file__).parent
CACHE = Path(".cache/digests")
"""Digests of files that were read once, so that terabytes are not read again to see that they are the same."""


def digest_file(path: str | Path) -> str:
    """SHA-256 digest of a file's bytes, its first 32 hex digits. Processors have instructions for this one."""
    digest, chunk = hashlib.sha256(), bytearray(READ_AT_ONCE)
    with open(path, "rb", buffering=0) as file:
        while n := file.readinto(chunk):
            digest.update(memoryview(chunk)[:n])
    return digest.hexdigest()[:32]


def digest_known_file(path: str | Path) -> str:
    """digest_file, or what it was if the file's size and time of change are as they were then.

    Remembered in CACHE in the current folder; where that cannot be written, every file is read.
    """
    status = os.stat(path)
    cache = _cache()
    if cache is None:
        return digest_file(path)
    key = (os.path.abspath(path), status.st_size, status.st_mtime_ns, status.st_ino)
    digest = cache.get(repr(key))
    if digest is None:
        digest = digest_file(path)
        cache.set(repr(key), digest)
    return digest


def digest_of(content: Any) -> str:
    """BLAKE2b digest (32 hex digits) of plain data, the same for equal content whatever the order of its keys."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def digest_code(*modules: str) -> str:
    """Digest of source files in lib, named like `audio/reader.py`: what they made is made anew once they change."""
    return digest_of({module: digest_file(LIB / module) for module in modules})


@lru_cache(maxsize=1)
def _cache() -> diskcache.Cache | None:
    try:
        return diskcache.Cache(CACHE.absolute(), size_limit=2**30, sqlite_synchronous=0)
    except (OSError, diskcache.Timeout):
        return None
