"""Spectrograms as they are stored: 8 bits a point (0..1 as 0..255), compressed."""

import numpy as np

from lib.training_data.compression import compress, decompress

LARGEST = 2**26
"""Bytes of a spectrogram."""


def encode(spectrogram: np.ndarray) -> bytes:
    """Compress a normalized spectrogram, float32 (height, width) in 0..1. Rounds to 1/255."""
    return compress(np.round(spectrogram * 255).astype(np.uint8).data)


def decode(value: bytes, height: int) -> np.ndarray:
    """The spectrogram that encode() compressed, uint8 (height, width) in 0..255.

    Raises zlib.error or ValueError for other bytes.
    """
    return np.frombuffer(decompress(value, LARGEST), np.uint8).reshape(height, -1)
