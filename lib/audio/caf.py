"""The chunks of Core Audio Format files, by which damaged ones are kept from decoders (Apple, CAF Specification)."""

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

from lib.sound.riff import MOST_CHUNKS, Chunk

MOST_FRAMES_A_PACKET = 2**16
"""Opus has 2880, AAC 2048; a decoder that is told of a billion computes as many."""
FRAMES_A_PACKET = struct.Struct(">8x 4s 8x I")
"""In the chunk `desc`: the format, and how many frames a packet has."""


def caf_chunks(file: BinaryIO) -> Iterator[Chunk]:
    """The chunks of a CAF file, in order; none of another file. Where one reaches beyond the end, it is the last.

    The caller may read from the file while it iterates.
    """
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    if file.read(4) != b"caff":
        return
    position = 8
    for _ in range(MOST_CHUNKS):
        file.seek(position)
        if len(header := file.read(12)) < 12:
            return
        name, size = struct.unpack(">4sq", header)
        yield Chunk(name, position + 12, size)
        position += 12 + size
        if size < 0 or position > end:
            return


def caf_damage(file: BinaryIO) -> str:
    """What is wrong with the header of a CAF file, "" if nothing."""
    for chunk in caf_chunks(file):
        if chunk.name == b"desc":
            file.seek(chunk.start)
            content = file.read(FRAMES_A_PACKET.size)
            if len(content) == FRAMES_A_PACKET.size and FRAMES_A_PACKET.unpack(content)[1] > MOST_FRAMES_A_PACKET:
                return "its header is damaged"
    return ""


def caf_is_cut(file: BinaryIO) -> bool:
    """Whether the sound of a CAF file goes on behind the end of the file."""
    end = os.fstat(file.fileno()).st_size
    return any(chunk.name == b"data" and chunk.start + chunk.size > end for chunk in caf_chunks(file))
