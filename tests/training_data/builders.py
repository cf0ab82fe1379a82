"""Small data sets of tones, as real files: each class has a pitch, each recording follows from its number alone."""

import json
import sqlite3
from pathlib import Path

import numpy as np
import soundfile

from lib.config.schema import AudioSettings, DataSetSettings, ExtractSettings
from lib.formats.data_sets import DataSet, read_data_set
from lib.training_data.extraction import ExtractionReport, extract_windows

RATE = 4000
PITCHES = {"high": 1500.0, "low": 300.0, "mid": 800.0}
MASKS = [{"name": "freq_mask", "bands": 2}, {"name": "time_mask", "seconds": 0.05}]
SMALL_WINDOWS = ["time_shift", "mixup", "background_mix", "gain", *MASKS]
"""The augmentations that are the default, with masks that leave something of these windows."""
AUDIO = AudioSettings(
    sampling_rate=RATE,
    spec_duration=0.5,
    spec_height=16,
    win_length=128,
    hop_length=50,
    min_freq=100.0,
    max_freq=1900.0,
)
EXTRACT = ExtractSettings(overlap=0.25, min_seconds=0.2, workers=1)


def write_data_set(folder: Path, n: int, seconds: float = 3.0, classes: tuple[str, ...] = tuple(PITCHES)) -> Path:
    """A data set in format `segments`: recordings r00, r01, ... with a tone of 0.6 s each half second, or a pause."""
    (folder / "recordings").mkdir(parents=True, exist_ok=True)
    lines = ["recording,class,start_time,end_time"]
    for number in range(n):
        samples, events = tones(number, seconds, classes)
        soundfile.write(folder / f"recordings/r{number:02}.wav", samples, RATE)
        lines += [f"r{number:02},{name},{start},{end}" for name, start, end in events]
    (folder / "annotations.csv").write_text("\n".join(lines) + "\n")
    return folder


def tones(number: int, seconds: float, classes: tuple[str, ...]) -> tuple[np.ndarray, list[tuple[str, float, float]]]:
    """A recording, float64 (samples,), and its events: class, start and end (s)."""
    rng = np.random.default_rng(number)
    samples = 0.002 * rng.standard_normal(round(seconds * RATE))
    events = []
    for k, start in enumerate(np.arange(0, seconds - 0.9, 1.0)):
        name = classes[(number + k) % len(classes)]
        start = float(round(start + rng.uniform(0, 0.3), 2))
        inside = slice(round(start * RATE), round((start + 0.6) * RATE))
        time = np.arange(inside.stop - inside.start) / RATE
        samples[inside] += 0.3 * np.sin(2 * np.pi * PITCHES[name] * rng.uniform(0.95, 1.05) * time)
        events.append((name, start, round(start + 0.6, 2)))
    return samples, events


def write_clips(folder: Path, format: str) -> dict[str, str]:
    """Six clips of a second in a format of labels of whole clips, one class in each; returns it by the clip's name."""
    if format == "sets":
        parts = ("irmastrain", "csv")
        lines = ["path,format", *(f"{part},{part}" for part in parts)]
        truths = [write_clips(folder / part, part) for part in parts]
        (folder / "sets.csv").write_text("\n".join(lines) + "\n")
        return truths[0] | truths[1]
    folder.mkdir(parents=True)
    named = "[{name}][nod][cla]{number}" if format == "irmastrain" else "c{number}"
    truths = {}
    for number in range(6):
        name, pitch = list(PITCHES.items())[number % 3]
        clip = named.format(name=name, number=number)
        soundfile.write(folder / f"{clip}.wav", 0.3 * np.sin(2 * np.pi * pitch * np.arange(RATE) / RATE), RATE)
        truths[clip] = name
    if format == "irmastest":
        for clip, name in truths.items():
            (folder / f"{clip}.txt").write_text(f"{name}\n")
    elif format == "csv":
        lines = [f"{clip}.wav,{','.join(str(int(name == each)) for each in PITCHES)}" for clip, name in truths.items()]
        (folder / "labels.csv").write_text("\n".join([f"file,{','.join(PITCHES)}", *lines]) + "\n")
    elif format == "openmic":
        lines = [f"{clip},{each},{0.9 if name == each else 0.1}" for clip, name in truths.items() for each in PITCHES]
        (folder / "labels.csv").write_text("\n".join(["sample_key,instrument,relevance", *lines]) + "\n")
    return truths


def contents_of(folder: Path, include: str | None = None) -> DataSet:
    return read_data_set(DataSetSettings(path=str(folder), include=include))


def extract_folder(
    folder: Path, database: Path, include: str | None = None, **settings
) -> tuple[ExtractionReport, int]:
    chosen = EXTRACT.model_copy(update=settings)
    report, n_new, _ = extract_windows(contents_of(folder, include), AUDIO, chosen, database)
    return report, n_new


def dump(database: Path) -> list[tuple]:
    """The content of a training database without IDs: recordings, windows, classes."""
    queries = [
        "SELECT Name, FileName, Path, Seconds, Key, Digest, Problems FROM Recording ORDER BY Name",
        "SELECT r.Name, s.Offset, group_concat(c.Name), hex(v.Value), g.Name, g.Settings FROM Segment s"
        " JOIN Recording r ON r.ID = s.RecordingID JOIN SpecValue v ON v.SegmentID = s.ID"
        " JOIN SpecGroup g ON g.ID = v.SpecGroupID LEFT JOIN SegmentClass sc ON sc.SegmentID = s.ID"
        " LEFT JOIN Class c ON c.ID = sc.ClassID GROUP BY s.ID ORDER BY r.Name, s.Offset",
        "SELECT c.Name, c.Code, c.AltName, c.AltCode, k.Name FROM Class c JOIN Category k ON k.ID = c.CategoryID"
        " ORDER BY c.Name",
        "SELECT Name FROM Category ORDER BY Name",
        "SELECT count(*) FROM Segment",
        "SELECT count(*) FROM SegmentClass",
        "SELECT count(*) FROM SpecValue",
    ]
    with sqlite3.connect(database) as connection:
        return [row for query in queries for row in connection.execute(query)]


def write_params(path: Path, data_set: Path, **sections: dict) -> Path:
    """A params.yaml (YAML holds JSON) with this module's settings; sections: keys to set beside or instead of them."""
    content = {
        "data": {"train": {"path": str(data_set)}, "test": {"path": str(data_set)}},
        "occurrences": {"path": "none"},
        "audio": AUDIO.model_dump(),
        "extract": EXTRACT.model_dump(),
    }
    for name, values in sections.items():
        content[name] = content.get(name, {}) | values
    path.write_text(json.dumps(content))
    return path
