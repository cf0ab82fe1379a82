"""Format `raven`: Raven selection tables (.txt), tab-separated, one for each recording or one for many.

A row is a selection: Begin Time (s), End Time (s), and where they are there Low Freq (Hz), High Freq (Hz). Its class
stands in the first of the columns Species, Annotation, Label, Class, Common Name, Species Code that the table has. The
recording is that of Begin File or Begin Path, else the one after which the table is called (`a.Table.1.selections.txt`
or `a.txt`). In a table of several recordings, File Offset (s) counts from the start of the Begin File, while the other
times count from the start of the first one. Of a selection that is shown in two views, Raven writes a row for each;
the one of the spectrogram is taken.
"""

from pathlib import Path

import pandas as pd

from lib.datasets.label_files import (
    Finder,
    Row,
    field_of,
    first_line,
    guessed_name,
    label_files,
    lines_of,
    read_label_files,
)
from lib.errors import DataSetError, Problem
from lib.files import printable

BEGIN, END = "begin time (s)", "end time (s)"
CLASS = ("species", "annotation", "annotations", "label", "class", "common name", "species code", "code", "tag")
BEGIN_FILE = ("begin path", "begin file")
CONFIDENCE = ("confidence", "score")
ANNOTATOR = ("annotator", "observer")


def recognizes(folder: Path) -> bool:
    return any(map(is_selection_table, label_files(folder, ".txt")))


def is_selection_table(file: Path) -> bool:
    return {BEGIN, END} <= set(_columns(first_line(file)))


def read(folder: Path, include: str | None) -> tuple[dict[str, Path], pd.DataFrame, list[Problem]]:
    files = [file for file in label_files(folder, ".txt") if is_selection_table(file)]
    return read_label_files(folder, include, files, rows_of)


def rows_of(file: Path, finder: Finder) -> list[Row]:
    """The selections of a table. Raises DataSetError."""
    lines = lines_of(file)
    columns = _columns(next(lines)[1])
    if not set(CLASS) & set(columns):
        raise DataSetError(f"{file}: has no column of classes; name one of its columns Species or Annotation")
    default = finder.labelled(file) or guessed_name(file)
    rows: dict[object, tuple[str, Row]] = {}
    for number, line in lines:
        values = [value.strip() for value in line.split("\t")] + len(columns) * [""]
        fields = dict(zip(columns, values, strict=False))
        begin_file, start = field_of(fields, BEGIN_FILE), fields[BEGIN]
        selection = fields.get("selection") or number, start, fields[END], begin_file
        view = fields.get("view", "").casefold()
        key: object = selection
        if selection in rows and rows[selection][0] == view:  # two rows of one view are no two views of one selection
            key = number
        elif selection in rows and not view.startswith("spectrogram"):
            continue
        start, end = _times(start, fields[END], fields.get("file offset (s)", ""))
        rows[key] = (
            view,
            {
                "recording": finder.named(begin_file, file) if begin_file else default,
                "class": field_of(fields, CLASS),
                "start_time": start,
                "end_time": end,
                "low_freq": fields.get("low freq (hz)", ""),
                "high_freq": fields.get("high freq (hz)", ""),
                "confidence": field_of(fields, CONFIDENCE),
                "annotator": field_of(fields, ANNOTATOR),
                "line": f"{printable(str(file))}:{number}",
            },
        )
    return [row for _, row in rows.values()]


def _columns(line: str) -> list[str]:
    return [column.strip().casefold() for column in line.split("\t")]


def _times(start: str, end: str, offset: str) -> tuple[str, str]:
    """Start and end from the start of the recording, as text; what is no number stays what it is."""
    try:
        return (offset, repr(round(float(offset) + float(end) - float(start), 6))) if offset else (start, end)
    except ValueError:
        return start, end
