"""Recordings of every container and codec that people have."""

import random
import struct
from pathlib import Path

import av
import numpy as np
import soundfile

from lib.audio import reader
from lib.sound.metadata import recording_moment, recording_position
from tests.fuzz.fuzzing import Target
from tests.recordings import add_guano, noise, sine

SNDFILE = {
    "pcm16.wav": ("WAV", "PCM_16"),
    "pcm24.wav": ("WAV", "PCM_24"),
    "float.wav": ("WAV", "FLOAT"),
    "ima.wav": ("WAV", "IMA_ADPCM"),
    "ms.wav": ("WAV", "MS_ADPCM"),
    "ulaw.wav": ("WAV", "ULAW"),
    "gsm.wav": ("WAV", "GSM610"),
    "extended.wav": ("WAVEX", "PCM_16"),
    "a.w64": ("W64", "PCM_16"),
    "a.rf64": ("RF64", "PCM_16"),
    "a.flac": ("FLAC", "PCM_16"),
    "a.ogg": ("OGG", "VORBIS"),
    "a.opus": ("OGG", "OPUS"),
    "a.aiff": ("AIFF", "PCM_16"),
    "a.au": ("AU", "PCM_16"),
    "a.caf": ("CAF", "PCM_16"),
    "alac.caf": ("CAF", "ALAC_16"),
    "a.mp3": ("MP3", "MPEG_LAYER_III"),
}
FFMPEG = {"a.m4a": ("mp4", "aac"), "a.aac": ("adts", "aac"), "a.webm": ("webm", "libopus"), "a.wma": ("asf", "wmav2")}
RATE = 16_000


def recordings(folder: Path) -> dict[str, bytes]:
    mono = sine(1000, 0.5, RATE) + noise(0.5, RATE)
    stereo = np.stack([mono, noise(0.5, RATE, seed=2)], axis=1)
    for name, (container, subtype) in SNDFILE.items():
        samples = mono if subtype == "GSM610" else stereo
        soundfile.write(folder / name, samples, RATE, format=container, subtype=subtype)
    add_guano(folder / "pcm16.wav", "Timestamp: 2024-05-12T05:30:00\nLoc Position: 50.1 8.6\n")
    for name, (container, codec) in FFMPEG.items():
        _encode(folder / name, stereo, container, codec)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def _encode(path: Path, samples: np.ndarray, container: str, codec: str) -> None:
    rate = 48_000 if codec == "libopus" else RATE
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate, layout="stereo", bit_rate=64_000)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="fltp", layout="stereo")
        frame.sample_rate = RATE
        resampler = av.AudioResampler(stream.format, "stereo", rate)
        for part in [*resampler.resample(frame), *resampler.resample(None), None]:
            file.mux(stream.encode(part))


def read_recording(path: Path, rng: random.Random) -> None:
    recording_moment(path)
    recording_position(path)
    channel, start = rng.choice(("mix", "first", "cleanest")), rng.choice((0.0, 0.0, 0.3))
    reader.probe(path)
    for block in reader.stream(path, 22_050, channel, start):
        assert block.dtype == np.float32 and block.ndim == 1 and np.isfinite(block).all()


SIZES = (0, 1, 4, 0x7FFFFFFF, 0xFFFFFFF0, 0xFFFFFFFF)
CHUNKS = (b"LIST", b"ds64", b"fact", b"guan", b"PEAK", b"bext", b"data", b"fmt ", b"COMM", b"SSND", b"desc", b"pakt")
WORDS = tuple(chunk + struct.pack(order + "I", size) for chunk in CHUNKS for size in SIZES for order in "<>")
TARGET = Target(recordings, read_recording, WORDS)
