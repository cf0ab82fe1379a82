"""Folders of labels, recordings and annotations, as a user of the testers has them, and what testers write."""

import csv
from pathlib import Path

import numpy as np
import soundfile
import yaml

from lib import PerBlockTester, PerRecordingTester, PerSegmentTester
from lib.testers.tester import Tester

Row = tuple[float, str, float]
BOTH = ("annotated", "trained")
PART_FILES = {
    *(f"roc_per_threshold_{part}.csv" for part in BOTH),
    *(f"roc_classic_curve_{part}.png" for part in BOTH),
    *(f"roc_inverted_curve_{part}.{kind}" for part in BOTH for kind in ("csv", "png")),
    *("summary_report.txt", "recording_details_trained.csv", "recording_summary_trained.csv"),
    *("class_annotated.csv", "class_non_annotated.csv", "prediction_range_counts.csv"),
}
"""Reports by segments and by blocks."""
CURVE_FILES = {
    f"{name}_{part}.{kind}" for name in ("pr_per_threshold", "pr_curve") for part in BOTH for kind in ("csv", "png")
}
"""Those of precision and recall."""
TABLE_KEYS = {
    *("annotated_thresholds", "annotated_precisions_seconds", "annotated_recalls"),
    *("trained_thresholds", "trained_precisions", "trained_recalls"),
    *(f"{part}_{what}_fine" for part in BOTH for what in ("thresholds", "precisions", "recalls")),
}
"""What get_pr_table returns by segments and by blocks."""


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


def written(tester: Tester) -> set[str]:
    """Names of the files that a tester wrote."""
    return {path.name for path in Path(tester.output_dir).iterdir()}


def read_rows(tester: Tester, name: str) -> list[list[str]]:
    """A table that a tester wrote, its header first."""
    with Path(tester.output_dir, name).open(newline="") as file:
        return list(csv.reader(file))
