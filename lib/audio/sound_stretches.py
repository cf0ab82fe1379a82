"""Stretches of recordings, exact to a sample, and as sound that people can hear.

A stretch from `start` to `end` (s) holds the samples round(start * rate) up to, but without, round(end * rate), at the
recording's own sampling rate. Beyond the recording there is silence. Only the stretch is decoded, wherever it lies,
of files that libsndfile reads; others are decoded from their beginning.
"""

import io
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from lib.audio.reader import probe, stream
from lib.core.errors import SettingsError

LONGEST = 120.0
"""Seconds of a stretch, at most."""
MOST_SAMPLES = 2**24
"""Of a stretch, at most: of ultrasound, fewer seconds than LONGEST."""
ROUNDING = 1e-6
"""Seconds by which the difference of two times may be too long."""
HEARD_RATE = 44100
"""Hz, of sound that was shifted in frequency."""
LOWEST_RATE = 3000
"""Hz; browsers play no less."""
BANDWIDTH = 5000.0
"""Hz on either side of the frequency that a heterodyne is tuned to, as in bat detectors."""


class SoundStretch(NamedTuple):
    """A part of a recording: samples float32 (n,), their rate (Hz), and the number of the first one."""

    samples: np.ndarray
    sampling_rate: int
    first: int


def read_stretch(path: str | Path, start: float, end: float, channel: str = "mix", margin: int = 0) -> SoundStretch:
    """A stretch of a recording.

    Args:
        path: the recording.
        start, end: s; the start may lie before the recording and the end behind it.
        channel: see lib.audio.reader.stream.
        margin: samples to add on either side.

    Raises AudioError if it cannot be read, SettingsError if the stretch is empty or longer than `longest`.
    """
    if not 0 < end - start <= LONGEST + ROUNDING:
        raise SettingsError(f"a stretch of {end - start:g} s", f"must be above 0 and at most {LONGEST:g} s")
    rate = probe(path).sampling_rate
    if end - start > longest(rate) + ROUNDING:
        fault = f"must be at most {longest(rate):.1f} s at {rate:,} Hz"
        raise SettingsError(f"a stretch of {end - start:g} s", fault)
    first, stop = round(start * rate) - margin, round(end * rate) + margin
    samples, n = np.zeros(stop - first, np.float32), max(-first, 0)
    if stop > 0:
        with closing(stream(path, rate, channel, max(first, 0) / rate)) as blocks:  # type: ignore[type-var]
            for block in blocks:
                block = block[: len(samples) - n]
                samples[n : n + len(block)] = block
                n += len(block)
                if n == len(samples):
                    break
    return SoundStretch(samples, rate, first)


def longest(rate: int) -> float:
    """Seconds of a stretch, at most, of a recording of that rate (Hz)."""
    return min(LONGEST, MOST_SAMPLES / rate)


def slowed(stretch: SoundStretch, factor: float) -> tuple[np.ndarray, int]:
    """The same samples at a rate that many times lower: time expansion, which makes ultrasound audible.

    Returns samples and rate (Hz). Raises SettingsError if no browser plays that rate.
    """
    rate = round(stretch.sampling_rate / factor)
    if rate < LOWEST_RATE:
        raise SettingsError(f"slow = {factor:g}", f"makes a sampling rate of {rate} Hz", "use a smaller factor")
    return stretch.samples, rate


def heterodyned(stretch: SoundStretch, frequency: float) -> tuple[np.ndarray, int]:
    """What lies within BANDWIDTH of a frequency (Hz), shifted down by it, as bat detectors do.

    Returns samples, float32 (n,), of the same duration, and their rate (Hz).
    """
    from scipy.signal import butter, sosfiltfilt

    samples, rate, first = stretch
    phase = 2 * np.pi * frequency / rate * (first + np.arange(len(samples)))
    mixed = 2 * samples * np.cos(phase)
    if rate > 2.2 * BANDWIDTH:
        mixed = sosfiltfilt(butter(6, BANDWIDTH, fs=rate, output="sos"), mixed)
    return soxr.resample(mixed.astype(np.float32), rate, HEARD_RATE), HEARD_RATE


def wav_bytes(samples: np.ndarray, rate: int) -> bytes:
    """A WAV file with exactly these samples, float32 (n,)."""
    target = io.BytesIO()
    soundfile.write(target, samples, rate, format="WAV", subtype="FLOAT")
    return target.getvalue()
