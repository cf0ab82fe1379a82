"""How arrays are compressed that the training database stores: the same on each machine, and fast."""

import zlib


def compress(content: bytes | memoryview) -> bytes:
    """Content, compressed; the bytes do not depend on the version of zlib.

    Values hardly repeat, so that a search for matches would only cost time; runs of the same value are found.
    """
    compressor = zlib.compressobj(1, strategy=zlib.Z_RLE)
    return compressor.compress(content) + compressor.flush()


def decompress(value: bytes, largest: int) -> bytes:
    """What compress() was given. Raises zlib.error or ValueError for other bytes, or if there are more than `largest`:
    a few that were made up decompress to gigabytes."""
    decompressor = zlib.decompressobj()
    content = decompressor.decompress(value, largest)
    if not decompressor.eof:
        raise ValueError("content that is cut, or too large")
    return content
