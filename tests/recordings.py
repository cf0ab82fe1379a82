"""Small recordings of known content for tests."""

import struct
from pathlib import Path

import av
import numpy as np
import soundfile

LEVEL = 0.5


def sine(frequency: float, seconds: float, rate: int) -> np.ndarray:
    """float32 (samples,) with amplitude LEVEL."""
    return (LEVEL * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def noise(seconds: float, rate: int, seed: int = 1) -> np.ndarray:
    """float32 (samples,), white, standard deviation 0.1."""
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate))).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate: int, subtype: str | None = None) -> Path:
    """Write samples, (n,) or (n, channels), in the format that the suffix tells; m4a as AAC, the rest by libsndfile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix != ".m4a":
        soundfile.write(path, samples, rate, subtype=subtype)
        return path
    channels = np.atleast_2d(samples.T)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=rate, layout={1: "mono", 2: "stereo"}[len(channels)], bit_rate=256_000)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(channels), format="fltp", layout=stream.layout.name)
        frame.sample_rate = rate
        file.mux([*stream.encode(frame), *stream.encode(None)])
    return path


def wav_header(seconds: float, rate: int = 48000) -> bytes:
    """The header of a WAV file that long, mono in 16 bits."""
    n = 2 * round(seconds * rate)
    chunks = b"RIFF", n + 36, b"WAVE", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16, b"data", n
    return struct.pack("<4sI4s4sIHHIIHH4sI", *chunks)


def truncate(path: Path, keep: float) -> Path:
    """Keep that part of a file's bytes."""
    content = path.read_bytes()
    path.write_bytes(content[: round(keep * len(content))])
    return path


def add_guano(path: Path, text: str, before: bytes = b"") -> Path:
    """Append a GUANO chunk to a WAV file, as recorders do."""
    content = text.encode()
    content += b"\0" * (len(content) % 2)
    whole = path.read_bytes() + before + struct.pack("<4sI", b"guan", len(content)) + content
    path.write_bytes(whole[:4] + struct.pack("<I", len(whole) - 8) + whole[8:])
    return path
