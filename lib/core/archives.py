"""Unpack untrusted archives: they cannot leave their folder, fill the disk or replace a file.

Python's own readers do the work. They trust what an archive declares, so names, types and the number of entries are
checked before an entry is written, and bytes are counted as they leave the decompressor.
"""

import bz2
import errno
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from lib.core.entry_places import EntryPlaces
from lib.core.errors import EarshotError
from lib.core.files import new_folder, open_regular, printable
from lib.core.unpacking_budget import UnpackingBudget

DECOMPRESSORS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
"""By the suffix after .tar."""
SHORT_SUFFIXES = {".tgz": ".tar.gz", ".tbz2": ".tar.bz2", ".txz": ".tar.xz"}
AT_ONCE = 2**16
"""Bytes copied at a time."""
LARGEST_READ = 8 * 2**20
"""Bytes that a reader may hold in memory at once: a zip's directory, a tar's long name."""
UNTOUCHED = "nothing was unpacked"
DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    NotImplementedError,
    ValueError,
    OverflowError,
)
"""What Python's readers raise for a file that is damaged or not an archive."""
NOT_THE_DISK = {None, errno.EINVAL}
"""errno of an OSError that the archive caused: of bz2 and gzip, or of a zip file with a negative offset."""


def is_archive(path: str | Path) -> bool:
    """Whether a file has the suffix of a zip or tar archive; a torch checkpoint, though a zip file, has not.

    >>> is_archive("frogs.tar.gz"), is_archive("model.pt")
    (True, False)
    """
    return _kind_by_name(Path(path)) is not None


def archive_kind(path: Path) -> str | None:
    """The kind of an archive for unpack: its suffix, or `.tar` if its first bytes say so; None if it is neither."""
    if kind := _kind_by_name(path):
        return kind
    with open_regular(path) as file:
        head = file.read(tarfile.BLOCKSIZE)
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")  # verifies the header's checksum
    except tarfile.HeaderError:
        return None
    return ".tar"


def unpack(archive: Path, folder: Path, budget: UnpackingBudget | None = None, kind: str | None = None) -> list[Path]:
    """Unpack a zip or tar (.gz, .bz2, .xz) archive into a new or empty folder; returns the files, sorted.

    Raises EarshotError, and leaves no folder behind, if the archive is damaged, holds anything but files and folders,
    names a path outside the folder or a file twice (also if only case or Unicode form differ), or exceeds a limit.
    Permissions and owners are not restored.

    Args:
        archive: the file.
        folder: new or empty.
        budget: of the enclosing archive; None: there is none.
        kind: `.zip`, `.tar`, `.tar.gz`, `.tar.bz2` or `.tar.xz`; None: by the suffix.
    """
    kind = kind or _kind_by_name(archive)
    if kind is None:
        raise EarshotError(archive, "is not an archive", "give a .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz file")
    if folder.is_dir() and any(folder.iterdir()):
        raise EarshotError(folder, "is not empty", "give a new folder")
    with new_folder(folder) as part:
        unpacked = _Unpacked(archive, part, budget or UnpackingBudget.of(archive))
        with _damage(archive):
            if kind == ".zip":
                _unpack_zip(archive, unpacked)
            else:
                _unpack_tar(archive, kind.removeprefix(".tar"), unpacked)
    return sorted(folder / file for file in unpacked.files)


def zip_entries(archive: Path) -> dict[str, int]:
    """The names of a zip file's entries, each with its declared size in bytes.

    Raises EarshotError if it is damaged or has more entries than an archive may have.
    """
    unpacked = _Unpacked(archive, archive.parent, UnpackingBudget.of(archive))
    with _damage(archive), _zip_file(archive, unpacked) as content:
        return {entry.filename: entry.file_size for entry in content.infolist()}


class _Unpacked:
    """What was unpacked of an archive so far."""

    def __init__(self, archive: Path, folder: Path, budget: UnpackingBudget) -> None:
        self.archive, self.budget = archive, budget
        self.files: list[str] = []
        self._places = EntryPlaces(archive, folder, UNTOUCHED)
        self._n_bytes_before = budget.n_bytes
        budget.n_archives += 1

    def refuse(self, fault: str) -> EarshotError:
        return EarshotError(self.archive, fault, UNTOUCHED)

    def place(self, name: str, is_folder: bool) -> Path:
        """The path of an entry, whose folder is created. Raises EarshotError if it may not be unpacked."""
        self.budget.add_entry(self.archive)
        target = self._places.place(name, is_folder)
        if not is_folder:
            self.files.append(target.relative_to(self._places.folder).as_posix())
        return target

    def check_length(self, n: int) -> None:
        """Raise EarshotError if the first n bytes of this archive exceed a limit."""
        self.budget.check_bytes(self.archive, n - (self.budget.n_bytes - self._n_bytes_before))


@contextmanager
def _zip_file(archive: Path, unpacked: _Unpacked) -> Iterator[zipfile.ZipFile]:
    with _Reading(open_regular(archive), unpacked) as file, zipfile.ZipFile(file) as content:
        unpacked.budget.check_entries(archive, len(content.infolist()))
        yield content


def _unpack_zip(archive: Path, unpacked: _Unpacked) -> None:
    with _zip_file(archive, unpacked) as content:
        for entry in content.infolist():
            kind = stat.S_IFMT(entry.external_attr >> 16)  # 0: written on a system without file types
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                what = "a link" if kind == stat.S_IFLNK else "a device"
                raise unpacked.refuse(f"holds {what} ({printable(entry.filename[:100])})")
            if entry.flag_bits & 1:
                raise unpacked.refuse(f"holds an encrypted file ({printable(entry.filename[:100])})")
            target = unpacked.place(entry.orig_filename, entry.is_dir())
            if not entry.is_dir():
                with content.open(entry) as source:
                    _copy(source, target, unpacked)


def _unpack_tar(archive: Path, suffix: str, unpacked: _Unpacked) -> None:
    with (
        open_regular(archive) as compressed,
        _Reading(DECOMPRESSORS[suffix](compressed) if suffix else compressed, unpacked, limits_all=True) as file,
        tarfile.open(fileobj=file, mode="r:") as content,
    ):
        for entry in content:
            name = printable(entry.name[:100])
            if entry.issym() or entry.islnk():
                raise unpacked.refuse(f"holds a link ({name})")
            if entry.issparse() or not (entry.isreg() or entry.isdir()):
                raise unpacked.refuse(f"holds a device or another special file ({name})")
            target = unpacked.place(entry.name, entry.isdir())
            if entry.isreg():
                with cast(IO[bytes], content.extractfile(entry)) as source:
                    _copy(source, target, unpacked)


def _copy(source: Any, target: Path, unpacked: _Unpacked) -> None:
    with target.open("xb") as file:
        while content := source.read(AT_ONCE):
            unpacked.budget.add_bytes(unpacked.archive, len(content))
            file.write(content)


class _Reading(io.RawIOBase):
    """A file for an archive's reader that limits how much is read into memory at once.

    limits_all: whether the file's length is the unpacked size, as for a decompressed tar.
    """

    def __init__(self, file: Any, unpacked: _Unpacked, limits_all: bool = False) -> None:
        self._file, self._unpacked, self._limits_all = file, unpacked, limits_all

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size > LARGEST_READ:
            raise self._unpacked.refuse("holds too many entries, or one with too long a name")
        if self._limits_all:
            self._unpacked.check_length(self._file.tell() + max(size, 0))
        return self._file.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if self._limits_all:
            self._unpacked.check_length(offset)
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def _damage(archive: Path) -> Iterator[None]:
    """Turn what Python's readers raise into an EarshotError."""
    try:
        yield
    except (*DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.errno not in NOT_THE_DISK:
            raise
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise EarshotError(archive, f"cannot be unpacked ({reason})", "get a new copy") from None


def _kind_by_name(path: Path) -> str | None:
    """The suffix of an archive, such as `.zip` or `.tar.gz`; None if it has none."""
    name = path.name.lower()
    for short, long in SHORT_SUFFIXES.items():
        name = name.removesuffix(short) + long if name.endswith(short) else name
    kinds = (".zip", ".tar", *(f".tar{suffix}" for suffix in DECOMPRESSORS))
    return next((kind for kind in kinds if name.endswith(kind)), None)
