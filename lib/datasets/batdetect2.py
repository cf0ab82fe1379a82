"""Format `batdetect2`: annotations as batdetect2 keeps them, a file `a.wav.json` for each recording `a.wav`.

Times and frequencies are those of the animal; in a recording that was slowed down by `time_exp`, they lie so many times
later and lower. Files that are not marked as annotated are left out.
"""

import json
from pathlib import Path

import pandas as pd

from lib.datasets.label_files import Finder, Row, guessed_name, label_files, read_label_files
from lib.errors import DataSetError, Problem
from lib.files import printable

HEAD = 2**16


def recognizes(folder: Path) -> bool:
    return any(map(_is_annotation_file, label_files(folder, ".json")))


def read(folder: Path, include: str | None) -> tuple[dict[str, Path], pd.DataFrame, list[Problem]]:
    files = [file for file in label_files(folder, ".json") if _is_annotation_file(file)]
    return read_label_files(folder, include, files, rows_of)


def rows_of(file: Path, finder: Finder) -> list[Row]:
    """The annotations of a file. Raises DataSetError."""
    try:
        content = json.loads(file.read_bytes())
        slowed = float(content.get("time_exp") or 1)
        annotations = list(map(dict, content["annotation"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataSetError(f"{file}: is not as batdetect2 writes it ({error}); export it again") from None
    if not content.get("annotated", True):
        raise DataSetError(f"{file}: is not marked as annotated; finish it, or remove it")
    name = str(content.get("id") or "")
    recording = finder.named(name, file) if name else finder.labelled(file) or guessed_name(file)
    rows = []
    for number, annotation in enumerate(annotations, 1):
        row: Row = {"recording": recording, "class": str(annotation.get("class") or "")}
        row |= {column: _scaled(annotation.get(column), slowed) for column in ("start_time", "end_time")}
        row |= {column: _scaled(annotation.get(column), 1 / slowed) for column in ("low_freq", "high_freq")}
        row["confidence"] = annotation.get("det_prob", "")
        rows.append(row | {"line": f"{printable(str(file))}: annotation {number}"})
    return rows


def _scaled(value: object, factor: float) -> object:
    return value * factor if isinstance(value, int | float) else value


def _is_annotation_file(file: Path) -> bool:
    try:
        with file.open("rb") as content:
            head = content.read(HEAD)
    except OSError:
        return False
    return head.lstrip().startswith(b"{") and b'"annotation"' in head and b"collection_type" not in head
