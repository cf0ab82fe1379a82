"""Folders of labels, recordings and annotations, as a user of the testers has them."""

from pathlib import Path

import numpy as np
import soundfile
import yaml

from lib import PerBlockTester, PerRecordingTester, PerSegmentTester

Row = tuple[float, str, float]


def write_labels(folder: Path, labels: dict[str, list[Row]], length: float = 3.0, suffix: str = "_scores") -> Path:
    """Audacity files of rows of start (s), class and score; the segments are `length` s long."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in labels.items():
        lines = (f"{start:.3f}\t{start + length:.3f}\t{label};{score:g}\n" for start, label, score in rows)
        (folder / f"{name}{suffix}.txt").write_text("".join(lines))
    return folder


def write_manifest(folder: Path, names: list[str], length: float = 3.0, overlap: float = 0.0, **more) -> None:
    classes = [{"name": name, "code": f"{name}-code", "alt_name": "", "alt_code": ""} for name in names]
    content = {"segment_len": length, "overlap": overlap, "classes": classes} | more
    (folder / "manifest.yaml").write_text(yaml.safe_dump(content))


def write_recordings(folder: Path, seconds: dict[str, float]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in seconds.items():
        soundfile.write(folder / f"{name}.wav", np.zeros(round(value * 1000)), 1000)
    return folder


def by_segment(folder: Path, labels: dict, seconds: dict, rows: list[str], **options) -> PerSegmentTester:
    """A tester of files that are written here; options: of the tester, and `length` of segments."""
    arguments = _write(folder, labels, "recording,class,start_time,end_time", rows, options)
    write_recordings(folder / "recordings", seconds)
    return PerSegmentTester(*arguments, **options)


def by_block(folder: Path, labels: dict, rows: list[str], **options) -> PerBlockTester:
    return PerBlockTester(*_write(folder, labels, "recording,block,classes", rows, options), **options)


def by_recording(folder: Path, labels: dict, rows: list[str], **options) -> PerRecordingTester:
    return PerRecordingTester(*_write(folder, labels, "recording,classes", rows, options), **options)


def _write(folder: Path, labels: dict, header: str, rows: list[str], options: dict) -> tuple:
    write_labels(folder / "labels", labels, options.pop("length", 3.0))
    (folder / "annotations.csv").write_text("\n".join([header, *rows, ""]))
    threshold = options.pop("threshold", 0.5)
    paths = ("annotations.csv", "recordings", "labels", "output")
    return (*(str(folder / name) for name in paths), threshold)
