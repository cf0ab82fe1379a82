"""Renders clips of one to three instruments with a sound font that no training data were played with.

Simulated changes of the same recordings tell little about instruments that were never heard; other samples of them do.
Melodies and chords are invented within each instrument's range. The clips are laid out like IRMAS's testing part.

Usage: python -m tests.benchmarks.instrument_clips FONT FOLDER [--clips 160] [--seed 1]

FONT is an .sf2 file, such as sf_GMbank.sf2 of Debian's package csound-soundfont; fluidsynth must be installed.
"""

import argparse
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

RATE = 32000
TICKS = 480
"""In a quarter note, of which a second has two."""
DRUMS = 9
"""The channel on which notes are drums."""


class Instrument(NamedTuple):
    """Programs of General MIDI that count as a class, the range of their notes, and whether they play chords."""

    programs: tuple[int, ...]
    lowest: int
    highest: int
    has_chords: bool = False


INSTRUMENTS = {
    "cel": Instrument((42,), 36, 72),
    "cla": Instrument((71,), 50, 84),
    "flu": Instrument((73,), 60, 96),
    "gac": Instrument((24, 25), 40, 76, True),
    "gel": Instrument((26, 27, 28, 29, 30), 40, 76, True),
    "org": Instrument((16, 17, 18, 19), 36, 84, True),
    "pia": Instrument((0, 1, 2), 36, 96, True),
    "sax": Instrument((64, 65, 66, 67), 46, 80),
    "tru": Instrument((56,), 54, 82),
    "vio": Instrument((40,), 55, 96),
    "voi": Instrument((52, 53, 54), 48, 79, True),
}


class Note(NamedTuple):
    """Times are seconds, pitch and velocity MIDI's, 0 to 127."""

    start: float
    end: float
    pitch: int
    velocity: int


class Part(NamedTuple):
    """What is played on a channel; volume: 0 to 127."""

    channel: int
    program: int
    notes: list[Note]
    volume: int


def invented(instrument: Instrument, seconds: float, rng: np.random.Generator) -> list[Note]:
    """A melody, with chords where the instrument plays them."""
    notes, time = list[Note](), rng.uniform(0, 0.3)
    pitch = int(rng.integers(instrument.lowest + 6, instrument.highest - 6))
    pace = np.exp(rng.uniform(np.log(0.15), np.log(0.9)))
    while time < seconds:
        length = pace * rng.choice([0.5, 1, 1, 2])
        pitch = int(np.clip(pitch + rng.integers(-5, 6), instrument.lowest, instrument.highest))
        pitches = [pitch]
        if instrument.has_chords and rng.random() < 0.4:
            pitches += [each for each in (pitch + int(rng.choice([3, 4])), pitch + 7) if each <= instrument.highest]
        end, velocity = min(time + length * rng.uniform(0.6, 1.0), seconds), int(rng.integers(70, 120))
        notes += [Note(time, end, each, velocity) for each in pitches]
        time += length if rng.random() < 0.85 else 2 * length
    return notes


def midi(parts: list[Part]) -> bytes:
    """A standard MIDI file of one track."""
    events = []
    for channel, program, notes, volume in parts:
        events += [(0, 0, bytes([0xB0 | channel, 7, volume])), (0, 1, bytes([0xC0 | channel, program]))]
        for start, end, pitch, velocity in notes:
            events.append((int(start * 2 * TICKS), 3, bytes([0x90 | channel, pitch, velocity])))
            events.append((int(end * 2 * TICKS), 2, bytes([0x80 | channel, pitch, 0])))
    track, now = b"", 0
    for tick, _, message in sorted(events):
        track += _variable_length(tick - now) + message
        now = tick
    track += b"\x00\xff\x2f\x00"
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, TICKS) + b"MTrk" + struct.pack(">I", len(track)) + track


def _variable_length(number: int) -> bytes:
    digits = [number & 127]
    while number := number >> 7:
        digits.append(number & 127 | 128)
    return bytes(reversed(digits))


def write_clip(font: Path, path: Path, rng: np.random.Generator) -> None:
    """Write a clip, and beside it the names of its classes, a line each."""
    classes = rng.choice(sorted(INSTRUMENTS), rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2]), replace=False)
    seconds, parts = rng.uniform(5, 12), list[Part]()
    for channel, name in enumerate(classes):
        program, notes = int(rng.choice(INSTRUMENTS[name].programs)), invented(INSTRUMENTS[name], seconds, rng)
        parts.append(Part(channel, program, notes, int(rng.integers(85, 127))))
    if rng.random() < 0.3:
        beats = np.arange(0, seconds, 0.25)
        drums = [Note(beat, beat + 0.1, int(rng.choice([36, 38, 42])), int(rng.integers(40, 80))) for beat in beats]
        parts.append(Part(DRUMS, 0, drums, 70))
    score = path.with_suffix(".mid")
    score.write_bytes(midi(parts))
    command = ["fluidsynth", "-ni", "-q", "-F", str(path), "-r", str(RATE), str(font), str(score)]
    subprocess.run(command, check=True, capture_output=True)
    score.unlink()
    sound = soundfile.read(path, always_2d=True)[0].mean(axis=1)[: int(RATE * (seconds + 0.3))]
    soundfile.write(path, 0.7 * sound / np.abs(sound).max(), RATE)
    path.with_suffix(".txt").write_text("".join(f"{name}\n" for name in classes))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("font", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=160)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)

    def write(index: int) -> None:
        rng = np.random.default_rng([options.seed, index])
        write_clip(options.font, options.folder / f"{index:03d}.wav", rng)

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, range(options.clips)))


if __name__ == "__main__":
    main()
