"""Spectrograms as they are stored: 8 bits a point (0..1 as 0..255), compressed."""

import zlib

import numpy as np

LARGEST = 2**26
"""Bytes of a spectrogram: a few that were made up decompress to gigabytes."""


def encode(spectrogram: np.ndarray) -> bytes:
    """Compress a normalized spectrogram, float32 (height, width) in 0..1. Rounds to 1/255."""
    levels = np.round(spectrogram * 255).astype(np.uint8)
    compressor = zlib.compressobj(1, strategy=zlib.Z_RLE)  # levels hardly repeat: a search for matches only costs time
    return compressor.compress(levels.data) + compressor.flush()


def decode(value: bytes, height: int) -> np.ndarray:
    """The spectrogram that encode() compressed, uint8 (height, width) in 0..255.

    Raises zlib.error or ValueError for other bytes.
    """
    decompressor = zlib.decompressobj()
    levels = decompressor.decompress(value, LARGEST)
    if not decompressor.eof:
        raise ValueError("a spectrogram that is cut, or too large")
    return np.frombuffer(levels, np.uint8).reshape(height, -1)
