"""Fetch files from untrusted URLs: http(s)://, file:// and s3://.

A server that fetches URLs for others must not reach into its own network (see lib.core.http_transfers) or read files
outside the folders that it shares.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import SplitResult
from urllib.request import url2pathname

from filelock import FileLock

from lib.core.errors import EarshotError
from lib.core.files import atomic, new_folder, open_regular
from lib.core.http_transfers import AT_ONCE, USUAL_LIMITS, TransferLimits, transfer
from lib.core.s3_transfers import fetch_from_s3
from lib.core.urls import file_name_of, shown_url, split_url


def fetch(
    url: str,
    folder: str | Path,
    sha256: str | None = None,
    allow_private: bool = False,
    file_roots: Sequence[str | Path] | None = None,
    limits: TransferLimits = USUAL_LIMITS,
) -> Path:
    """Fetch a file, or a folder from a file:// or s3:// URL, into a folder; returns its path.

    Args:
        url: its last part becomes the file name.
        folder: created if missing.
        sha256: expected SHA-256 digest of the file, 64 hex digits; None: not checked.
        allow_private: whether the URL may lead to a private address (see lib.core.public_addresses), and redirect from
            there to another. Redirects from the internet to a private address are always refused.
        file_roots: folders in which a file:// URL must lie; None: anywhere, which is right for a user on this machine.
            A server that fetches URLs for others must pass its own; lib.server fetches none.
        limits: of size, number of files and time.

    Raises EarshotError, and leaves no file, if the URL may not or cannot be fetched.
    """
    parts = split_url(url)
    target = Path(folder, file_name_of(url))
    target.parent.mkdir(parents=True, exist_ok=True)
    if parts.scheme == "file":
        _copy(_local_file(url, parts, file_roots), target, limits, url)
    elif parts.scheme == "s3":
        fetch_from_s3(url, target, limits)
    else:
        return _fetch_over_http(url, target, sha256, allow_private, limits)
    try:
        if sha256 is not None:
            _check_sha256(url, target, sha256)
    except BaseException:
        _remove(target)
        raise
    return target


def is_url(text: str) -> bool:
    """Whether a text is a URL, perhaps one that fetch does not accept, rather than a path.

    >>> is_url("https://example.org/frogs.pt"), is_url("gs://frogs/frogs.pt"), is_url("data/frogs.pt")
    (True, True, False)
    """
    return re.match(r"[a-z][a-z0-9+.-]*://", text, re.IGNORECASE) is not None


def sha256_of(path: str | Path) -> str:
    """SHA-256 digest of a file's bytes, 64 hex digits."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_sha256(url: str, path: Path, sha256: str) -> None:
    if path.is_dir():
        raise EarshotError(shown_url(url), "is a folder, which has no SHA-256 digest", "leave out the digest")
    if (digest := sha256_of(path)) != sha256.lower():
        fault = f"its SHA-256 digest is {digest}, not {sha256}"
        raise EarshotError(shown_url(url), fault, "the file is damaged or a different one; check its source")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


# file://


def _local_file(url: str, parts: SplitResult, roots: Sequence[str | Path] | None) -> Path:
    """The path that a file:// URL names. Raises EarshotError if it is missing or outside the roots."""
    if parts.netloc not in ("", "localhost"):
        raise EarshotError(shown_url(url), f"is on another machine ({parts.netloc})", "write file:///PATH")
    path = Path(url2pathname(parts.path))
    if not path.is_absolute():
        raise EarshotError(shown_url(url), "has no absolute path", "write file:///PATH")
    real = path.resolve()  # a link might lead out of the roots
    if roots is not None:
        allowed = [Path(root).resolve() for root in roots]
        _check_root(url, real, allowed)
        for inner in real.rglob("*") if real.is_dir() else ():
            _check_root(url, inner.resolve(), allowed)
    if not real.exists():
        raise EarshotError(shown_url(url), "no such file or folder", "check the path")
    return real


def _check_root(url: str, path: Path, roots: Iterable[Path]) -> None:
    if not any(path.is_relative_to(root) for root in roots):
        raise EarshotError(shown_url(url), "lies outside the allowed folders", "copy it to one of them")


def _copy(source: Path, target: Path, limits: TransferLimits, url: str) -> None:
    """Copy a file or folder; links to files are followed."""
    files = [source] if source.is_file() else _files_in(source, url)
    limits.check_files(url, len(files))
    limits.check_size(url, sum(file.stat().st_size for file in files))
    try:
        if source.is_dir():
            with new_folder(target) as part:
                for file in files:
                    place = part / file.relative_to(source)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    _copy_file(file, place)
        else:
            with atomic(target) as part:
                _copy_file(source, part)
    except OSError as error:
        fault = f"cannot be copied ({error.strerror})"
        raise EarshotError(shown_url(url), fault, "check the file and the free disk space") from None


def _files_in(folder: Path, url: str) -> list[Path]:
    """All files below a folder. Raises EarshotError if there is a link to a folder, which may form a cycle."""
    paths = sorted(folder.rglob("*"))  # follows no links
    if linked := next((path for path in paths if path.is_symlink() and path.is_dir()), None):
        fault = f"holds a link to a folder ({linked.relative_to(folder)})"
        raise EarshotError(shown_url(url), fault, "replace the link with a copy of that folder")
    return [path for path in paths if not path.is_dir()]


def _copy_file(source: Path, target: Path) -> None:
    with open_regular(source) as reading, target.open("wb") as writing:
        shutil.copyfileobj(reading, writing, AT_ONCE)


# http(s)://


def _fetch_over_http(url: str, target: Path, sha256: str | None, allow_private: bool, limits: TransferLimits) -> Path:
    part = target.with_name(f".{target.name}.part")
    state = target.with_name(f".{target.name}.state.part")
    with FileLock(target.with_name(f".{target.name}.lock")) as lock:
        try:
            transfer(url, part, state, allow_private, limits)
            try:
                if sha256 is not None:
                    _check_sha256(url, part, sha256)
                os.replace(part, target)
            finally:
                part.unlink(missing_ok=True)
                state.unlink(missing_ok=True)
        finally:
            Path(lock.lock_file).unlink(missing_ok=True)  # before the release: a waiting process creates a new one
    return target
