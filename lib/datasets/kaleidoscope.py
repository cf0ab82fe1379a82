"""Format `kaleidoscope`: tables (.csv) of Wildlife Acoustics' Kaleidoscope, one or more, for any number of recordings.

A row names its recording in IN FILE (with FOLDER and INDIR) and counts OFFSET and DURATION in seconds; without an
OFFSET it is about the recording from its start. Its class is the MANUAL ID, else the TOP1MATCH or AUTO ID, as far as
the table has them. Fmin and Fmax are taken from tables that have an OFFSET, where they are Hz.
"""

from pathlib import Path

import pandas as pd

from lib.datasets.label_files import Finder, Row, field_of, first_line, label_files, read_label_files
from lib.datasets.tables import read_csv
from lib.errors import DataSetError, Problem
from lib.files import printable

CLASS = ("manual id", "top1match", "auto id", "common_name", "scientific_name")


def recognizes(folder: Path) -> bool:
    return any(map(_is_table, label_files(folder, ".csv")))


def read(folder: Path, include: str | None) -> tuple[dict[str, Path], pd.DataFrame, list[Problem]]:
    files = [file for file in label_files(folder, ".csv") if _is_table(file)]
    return read_label_files(folder, include, files, rows_of)


def rows_of(file: Path, finder: Finder) -> list[Row]:
    """The rows of a table. Raises DataSetError."""
    table = read_csv(file, [])
    columns = [_column(name) for name in table.columns]
    if "duration" not in columns or not set(CLASS) & set(columns):
        raise DataSetError(f"{file}: lacks DURATION, or MANUAL ID or another column of classes; export it with them")
    rows = []
    for line, *values in table.itertuples(name=None):
        fields = dict(zip(columns, values, strict=True))
        path = "/".join(fields.get(part, "") for part in ("indir", "folder", "in file"))
        start, end = _times(fields.get("offset", "0"), fields["duration"])
        row = {
            "recording": finder.named(path, file),
            "class": field_of(fields, CLASS),
            "start_time": start,
            "end_time": end,
            "confidence": "" if fields.get("manual id") else field_of(fields, ("confidence", "score")),
            "line": f"{printable(str(file))}:{line}",
        }
        if "offset" in fields:
            row |= {"low_freq": fields.get("fmin", ""), "high_freq": fields.get("fmax", "")}
        rows.append(row)
    return rows


def _is_table(file: Path) -> bool:
    columns = [_column(name) for name in first_line(file).split(",")]
    return "in file" in columns and "duration" in columns


def _column(name: str) -> str:
    """Kaleidoscope marks some columns with a star, and other programs write AUTO-ID for AUTO ID."""
    return name.strip().strip('"').rstrip("*").replace("-", " ").casefold()


def _times(offset: str, duration: str) -> tuple[str, str]:
    try:
        return offset, repr(float(offset) + float(duration))
    except ValueError:
        return offset, ""
