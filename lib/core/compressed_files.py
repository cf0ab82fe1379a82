"""Compressed single files: recognized by their first bytes, decompressed within a budget."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

from lib.core.errors import EarshotError
from lib.core.files import open_regular
from lib.core.unpacking_budget import UnpackingBudget

SUFFIXES = {".gz", ".bz2", ".xz", ".lzma", ".zst", ".lz4", ".z"}
"""Usual suffixes of compressed files."""
STARTS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
    b"\x5d\x00": "lzma",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"\x78": "zlib",
}
"""Compression formats by the first bytes of a file."""
READERS: dict[str | None, Callable[[Any], Any]] = {
    "gzip": lambda file: gzip.GzipFile(fileobj=file),
    "bz2": bz2.BZ2File,
    "xz": lzma.LZMAFile,
    "lzma": lzma.LZMAFile,
}
"""Python's own readers; there are none for zstd and lz4."""
AT_ONCE = 2**16


def compression_of(path: Path) -> str | None:
    """The compression format of a file; None if its first bytes match none. Raises OSError."""
    with open_regular(path) as file:
        head = file.read(1024)
    kind = next((kind for start, kind in STARTS.items() if head.startswith(start)), None)
    if kind in ("zlib", "lzma"):  # text may begin with the same bytes
        try:
            decompressor: Any = zlib.decompressobj() if kind == "zlib" else lzma.LZMADecompressor(lzma.FORMAT_ALONE)
            decompressor.decompress(head, 1)
        except (zlib.error, lzma.LZMAError):
            return None
    return kind


def decompress_file(path: Path, target: Path, budget: UnpackingBudget) -> None:
    """Decompress a file, see compression_of.

    Raises EarshotError, and leaves no target behind, if it is damaged or exceeds the budget.
    """
    budget.n_archives += 1
    try:
        with BufferedReader(open_regular(path)) as file, target.open("xb") as unpacked:
            for content in _contents(file, compression_of(path)):
                budget.add_bytes(path, len(content))
                unpacked.write(content)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        target.unlink(missing_ok=True)
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise EarshotError(path, f"cannot be unpacked ({reason})", "get a new copy") from None
    except EarshotError:
        target.unlink(missing_ok=True)
        raise


def _contents(file: IO[bytes], kind: str | None) -> Iterator[bytes]:
    if kind == "zlib":
        yield from _contents_of_zlib(file)
        return
    if kind in READERS:
        stream = READERS[kind](file)
    else:
        import pyarrow  # slow to import and rarely needed

        stream = pyarrow.CompressedInputStream(pyarrow.PythonFile(file, "r"), kind)
    while content := stream.read(AT_ONCE):
        yield content


def _contents_of_zlib(file: IO[bytes]) -> Iterator[bytes]:
    decompressor = zlib.decompressobj()
    while not decompressor.eof:
        content = decompressor.unconsumed_tail or file.read(AT_ONCE)
        unpacked = decompressor.decompress(content, AT_ONCE)
        if not content and not unpacked:
            raise EOFError("it is truncated")
        yield unpacked
