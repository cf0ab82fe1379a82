"""Spectrograms as they are stored: 8 bits a point (0..1 as 0..255), compressed."""

import zlib

import numpy as np


def encode(spectrogram: np.ndarray) -> bytes:
    """Compress a normalized spectrogram, float32 (height, width) in 0..1. Rounds to 1/255."""
    levels = np.round(spectrogram * 255).astype(np.uint8)
    compressor = zlib.compressobj(1, strategy=zlib.Z_RLE)  # levels hardly repeat: a search for matches only costs time
    return compressor.compress(levels.data) + compressor.flush()


def decode(value: bytes, height: int) -> np.ndarray:
    """The spectrogram that encode() compressed, uint8 (height, width) in 0..255."""
    return np.frombuffer(zlib.decompress(value), np.uint8).reshape(height, -1)
