"""Files that are whole or absent, folders walked once, names that any tool can show."""

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import stat
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader, FileIO, TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""Characters that end a line or have no shape."""


NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Surrogates that do not stand for a byte of a file name, as Python decodes names that are not UTF-8."""
LONGEST_NAME = 255
"""Bytes of a file name, on the usual file systems."""
LONGEST_HEADER = 2**20
"""Bytes; a binary file may have no line break."""


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a file beside `path` to write to, which takes its place when the block ends without an error.

    Others that write the same file at the same time wait for its lock, so it must not be removed and made again. It is
    not empty if an earlier writer was killed. An OSError names the file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(fitting_name(f".{path.name}", ".part"))
    with _locked(part):
        try:
            yield part
            os.replace(part, path)
        except BaseException as error:
            part.unlink(missing_ok=True)
            if isinstance(error, OSError):
                error.filename = error.filename or str(path)  # writing to a full disk names none
            raise


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """Yield a folder beside `path` to fill, which takes its place when the block ends without an error.

    Raises OSError if there is something at the place by then, other than an empty folder.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(fitting_name(f".{path.name}", f".{uuid.uuid4().hex}.part"))
    part.mkdir()
    try:
        yield part
        part.rename(path)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


@contextmanager
def _locked(part: Path) -> Iterator[None]:
    """Make a file, and lock it against other threads and processes that do the same."""
    while True:
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            with suppress(OSError):  # some network drives have no locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_at(descriptor, part):  # else others are done with it
                yield
                return
        finally:
            os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def fitting_name(stem: str, ending: str, more: int = 0) -> str:
    """A file name of a stem and an ending; where that is too long, a digest takes the place of the stem's end.

    more: bytes that will be added to the name.

    >>> fitting_name("dawn", ".txt"), len(fitting_name(250 * "x", ".BirdNET.txt"))
    ('dawn.txt', 255)
    """
    longest = LONGEST_NAME - more
    if len(os.fsencode(stem + ending)) <= longest:
        return stem + ending
    digest = f"~{hashlib.blake2b(os.fsencode(stem), digest_size=8).hexdigest()}"
    kept = os.fsencode(stem)[: longest - len(os.fsencode(digest + ending))]
    return kept.decode("utf-8", "ignore") + digest + ending


@contextmanager
def atomic_text(path: str | Path) -> Iterator[TextIO]:
    """Yield a UTF-8 text file to write to, which takes the place of `path` when the block ends without an error."""
    with atomic(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        yield file


def link_or_copy(source: Path, target: Path) -> None:
    """Make a hard link or, where the file system has none, a copy that is whole or absent.

    Raises FileExistsError if there is a file at the target.
    """
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:  # of another file system, or one that has no links
        with atomic(target) as part:
            shutil.copy2(source, part)


def open_regular(path: str | Path) -> FileIO:
    """Open a file to read its bytes, unbuffered. Raises OSError, also for a pipe or a device, which may never end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # else a pipe waits for its writer
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return open(descriptor, "rb", buffering=0)


def read_text(path: str | Path, errors: str = "strict") -> str:
    """The text of a UTF-8 file, without a byte order mark, and with \\n between its lines.

    Raises OSError, also for a pipe or a device, and UnicodeDecodeError unless errors (see bytes.decode) says otherwise.
    """
    with TextIOWrapper(BufferedReader(open_regular(path)), encoding="utf-8-sig", errors=errors) as file:
        return file.read()


def header_line(path: str | Path) -> str:
    """The first line of a text file, at most LONGEST_HEADER bytes of it, stripped, without a byte order mark.

    Raises OSError, also for a pipe or a device.
    """
    with BufferedReader(open_regular(path)) as file:
        return file.readline(LONGEST_HEADER).decode("utf-8-sig", "replace").strip()


def read_bytes(path: str | Path) -> bytes:
    """The content of a file. Raises OSError, also for a pipe or a device."""
    with open_regular(path) as file:
        return file.readall()


def write_text(path: str | Path, text: str) -> None:
    with atomic(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: Any) -> None:
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def walk_files(
    root: Path,
    skip_folder: Callable[[Path, list[str]], bool] = lambda folder, files: False,
    on_error: Callable[[OSError], None] = lambda error: None,
) -> Iterator[Path]:
    """Yield the files below a folder, sorted within each folder, without hidden ones; links are followed once.

    Args:
        root: the folder.
        skip_folder: called with each folder and the names of its files; True leaves out all below it.
        on_error: called if a folder cannot be listed.
    """
    visited: set[str] = set()  # a link may lead back to a folder above it
    for folder, folders, files in os.walk(root, onerror=on_error, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited or skip_folder(Path(folder), files):
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(files) if not name.startswith("."))


def remove_other_files(folder: str | Path, kept: Collection[Path]) -> None:
    """Remove the files of a folder that are not among these, unless a person may have put them there.

    In the pipeline, an output folder belongs to its stage, so what an earlier version wrote goes; by hand, all stays.
    """
    if "DVC_STAGE" in os.environ:
        for path in Path(folder).rglob("*"):
            if path.is_file() and path not in kept and not path.name.startswith("."):
                path.unlink()


def project_root() -> Path:
    """The main project's folder, also inside a queued or temporary experiment, which runs in a copy of the project."""
    if root := os.environ.get("DVC_ROOT"):
        return Path(root)
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / "dvc.yaml").exists()), here)


def without_password(url: str) -> str:
    """A URL, or a text with one in it, as it may be shown: `user:***@host`.

    >>> without_password("postgresql://me:secret@host/studies")
    'postgresql://me:***@host/studies'
    """
    return re.sub(r"(://[^/:@\s]*:)[^@\s]*@", r"\1***@", url)


def valid_text(text: str) -> str:
    r"""Text without lone surrogates, which JSON may hold and UTF-8 cannot: they become \uNNNN.

    >>> print(valid_text("Wren \ud800"))
    Wren \ud800
    """
    return text.encode("utf-8", "backslashreplace").decode()


def printable(name: str) -> str:
    r"""A file name as valid Unicode on one line: bytes that are not UTF-8, and control characters, become \xNN.

    >>> printable("a\rb.wav")
    'a\\x0db.wav'
    """
    text = os.fsencode(NO_BYTE.sub(lambda match: valid_text(match[0]), name)).decode("utf-8", "backslashreplace")
    return CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
