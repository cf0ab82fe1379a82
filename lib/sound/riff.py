"""The chunks of WAV files: RIFF, and RF64, whose chunk `ds64` tells sizes above 4 GB (EBU Tech 3306)."""

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

MOST_CHUNKS = 1000
"""Recorders write a dozen; a damaged file may seem to hold millions of empty ones."""
UNKNOWN_SIZE = 0xFFFFFFFF
"""Of a chunk that was never finished, or whose size is in ds64."""


class Chunk(NamedTuple):
    """A chunk: its name, where its content starts (bytes), and how many bytes it claims to have."""

    name: bytes
    start: int
    size: int


def riff_chunks(file: BinaryIO) -> Iterator[Chunk]:
    """The chunks of a WAV file, in order; none of another file. Where one reaches beyond the end, it is the last.

    The caller may read from the file while it iterates.
    """
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    head, position, long_data = file.read(12), 12, None
    if head[:4] not in (b"RIFF", b"RF64") or head[8:] != b"WAVE":
        return
    for _ in range(MOST_CHUNKS):
        file.seek(position)
        if len(header := file.read(8)) < 8:
            return
        name, size = struct.unpack("<4sI", header)
        if name == b"ds64" and len(sizes := file.read(16)) == 16:
            long_data = struct.unpack_from("<Q", sizes, 8)[0]
        elif name == b"data" and size == UNKNOWN_SIZE and long_data is not None:
            size = long_data
        yield Chunk(name, position + 8, size)
        position += 8 + size + size % 2
        if position > end:
            return
