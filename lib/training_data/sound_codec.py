"""The sound of windows as it is stored: 16 bits a sample, compressed without loss.

The samples of 16-bit recordings at their own rate stay as they are; others are scaled so that the loudest is 32767,
which leaves the quantization noise 98 dB below it. Stored are the scale, the order of the predictor, and the errors of
FLAC's fixed predictor of that order (RFC 9639, section 9.2.5): the differences of samples, taken `order` times over.
They are taken modulo 2^16, which is undone exactly; zigzag-coded, so that small errors are small numbers; and split
into high and low bytes, since the high ones are mostly 0.
"""

import struct

import numpy as np

from lib.training_data.compression import compress, decompress

HEADER = struct.Struct("<fB")
"""Value of a step, and order of the predictor."""
HIGHEST_ORDER = 4
STEP = 2.0**-15
"""Value of a step of 16-bit recordings."""

FINEST_STEP = 2.0**-126
"""Fainter sound is silence; smaller numbers are not exact in float32."""


def encode_sound(samples: np.ndarray) -> bytes:
    """Compress a waveform, float32 (n,)."""
    scaled = samples / np.float32(STEP)
    step, steps = STEP, np.round(scaled)
    is_16_bit = steps.min(initial=0) >= -32768 and steps.max(initial=0) <= 32767
    if not (is_16_bit and np.array_equal(steps, scaled)):
        peak = float(np.abs(samples).max(initial=0.0))
        step = max(float(np.float32(peak / 32767)), FINEST_STEP)
        steps = np.clip(np.round(samples.astype(np.float64) / step), -32767, 32767)
    errors = steps.astype(np.int32)
    best, order, smallest = errors, 0, np.inf
    for i in range(HIGHEST_ORDER + 1):
        if (size := int(np.abs(errors).sum(dtype=np.int64))) < smallest:
            best, order, smallest = errors, i, size
        errors = np.diff(errors, prepend=np.int32(0))
    best = best.astype(np.int16)
    zigzag = ((best << 1) ^ (best >> 15)).view(np.uint16)
    planes = np.stack([zigzag >> 8, zigzag & 255]).astype(np.uint8)
    return HEADER.pack(step, order) + compress(planes.data)


def decode_sound(value: bytes, n: int) -> np.ndarray:
    """The waveform that encode_sound() compressed, float32 (n,). Raises zlib.error or ValueError for other bytes, or
    if it has another length."""
    if len(value) < HEADER.size:
        raise ValueError("a sound without header")
    step, order = HEADER.unpack_from(value)
    planes = np.frombuffer(decompress(value[HEADER.size :], 2 * n + 1), np.uint8)
    if len(planes) != 2 * n or order > HIGHEST_ORDER or not np.isfinite(step):
        raise ValueError(f"a sound of other than {n} samples")
    high, low = planes.reshape(2, n).astype(np.uint16)
    zigzag = (high << 8) | low
    samples = ((zigzag >> 1) ^ -(zigzag & 1)).view(np.int16)
    for _ in range(order):
        samples = np.cumsum(samples, dtype=np.int16)
    return samples * np.float32(step)
