"""Archives from others, unpacked so that they cannot leave their folder, fill the disk or replace a file.

Python's own readers do the work. They trust what an archive says of itself, so its names, kinds and number of entries
are checked before anything of an entry is written, and bytes are counted as they come out of the decompressor.
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
"""By the suffix behind .tar."""
SHORT_SUFFIXES = {".tgz": ".tar.gz", ".tbz2": ".tar.bz2", ".txz": ".tar.xz"}
AT_ONCE = 2**16
"""Bytes that are copied at a time."""
LARGEST_READ = 8 * 2**20
"""Bytes that a reader may ask for at once, which it keeps in memory: a zip's directory, a tar's long name."""
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
"""What Python's readers raise on a file that is no archive, or a broken one."""
NOT_THE_DISK = {None, errno.EINVAL}
"""Of an OSError that bz2 or gzip raises, or a zip file that says that something lies before its beginning."""


def is_archive(path: str | Path) -> bool:
    """Whether a file is called as zip and tar archives are. A checkpoint of torch is a zip file, too, and is none.

    >>> is_archive("frogs.tar.gz"), is_archive("model.pt")
    (True, False)
    """
    return _kind_by_name(Path(path)) is not None


def archive_kind(path: Path) -> str | None:
    """The kind of an archive for unpack: by its name, or `.tar` if it begins as a tar file; None if it is none."""
    if kind := _kind_by_name(path):
        return kind
    with open_regular(path) as file:
        head = file.read(tarfile.BLOCKSIZE)
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")  # which checks a sum
    except tarfile.HeaderError:
        return None
    return ".tar"


def unpack(archive: Path, folder: Path, budget: UnpackingBudget | None = None, kind: str | None = None) -> list[Path]:
    """Unpack a zip or tar (.gz, .bz2, .xz) archive into a new or empty folder; returns the files, sorted.

    Raises EarshotError, and leaves no folder behind, if the archive is damaged, holds anything but files and folders,
    names a place outside of the folder or a file twice (also where only case or Unicode form differ), or exceeds a
    limit. Permissions and owners are not taken over.

    Args:
        archive: the file.
        folder: new or empty.
        budget: of the archive that this one was in; None: it was in none.
        kind: `.zip`, `.tar`, `.tar.gz`, `.tar.bz2` or `.tar.xz`; None: as the archive is called.
    """
    kind = kind or _kind_by_name(archive)
    if kind is None:
        raise EarshotError(archive, "is no archive", "give a .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz file")
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
    """The names of a zip file's entries and, as far as it tells the truth, how many bytes each unpacks to.

    Raises EarshotError if it is damaged or has more entries than an archive may have.
    """
    unpacked = _Unpacked(archive, archive.parent, UnpackingBudget.of(archive))
    with _damage(archive), _zip_file(archive, unpacked) as content:
        return {entry.filename: entry.file_size for entry in content.infolist()}


class _Unpacked:
    """What has come out of an archive so far."""

    def __init__(self, archive: Path, folder: Path, budget: UnpackingBudget) -> None:
        self.archive, self.budget = archive, budget
        self.files: list[str] = []
        self._places = EntryPlaces(archive, folder, UNTOUCHED)
        self._n_bytes_before = budget.n_bytes
        budget.n_archives += 1

    def refuse(self, fault: str) -> EarshotError:
        return EarshotError(self.archive, fault, UNTOUCHED)

    def place(self, name: str, is_folder: bool) -> Path:
        """Where an entry goes, whose folder is made. Raises EarshotError if it must not be unpacked."""
        self.budget.add_entry(self.archive)
        target = self._places.place(name, is_folder)
        if not is_folder:
            self.files.append(target.relative_to(self._places.folder).as_posix())
        return target

    def check_length(self, n: int) -> None:
        """Raise EarshotError if n bytes of this archive, from its beginning, are too many."""
        self.budget.check_bytes(self.archive, n - (self.budget.n_bytes - self._n_bytes_before))


@contextmanager
def _zip_file(archive: Path, unpacked: _Unpacked) -> Iterator[zipfile.ZipFile]:
    with _Reading(open_regular(archive), unpacked) as file, zipfile.ZipFile(file) as content:
        unpacked.budget.check_entries(archive, len(content.infolist()))
        yield content


def _unpack_zip(archive: Path, unpacked: _Unpacked) -> None:
    with _zip_file(archive, unpacked) as content:
        for entry in content.infolist():
            kind = stat.S_IFMT(entry.external_attr >> 16)  # 0: it was written on a system that knows no kinds
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
    """A file for an archive's reader, which is not allowed to keep much of it in memory at once.

    limits_all: whether the file's own length is what comes out of the archive, as that of a decompressed tar is.
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
        raise EarshotError(archive, f"cannot be unpacked ({reason})", "get it again") from None


def _kind_by_name(path: Path) -> str | None:
    """The suffix of an archive as `.zip` or `.tar.gz`, None if it has no such suffix."""
    name = path.name.lower()
    for short, long in SHORT_SUFFIXES.items():
        name = name.removesuffix(short) + long if name.endswith(short) else name
    kinds = (".zip", ".tar", *(f".tar{suffix}" for suffix in DECOMPRESSORS))
    return next((kind for kind in kinds if name.endswith(kind)), None)
