"""Format `audacity`: an Audacity label file (.txt) for each recording, called like it.

A line holds start, end (s) and label, separated by tabs. The label is the class; a score may follow behind a semicolon,
as in the label files of the infer stage (`Wren;0.87`), and becomes the confidence. A line that begins with a backslash
holds the low and the high frequency (Hz) of the label above it; Audacity writes -1 where one is not set.
"""

from pathlib import Path

import pandas as pd

from lib.audio.reader import recording_files
from lib.datasets.label_files import (
    Finder,
    Row,
    first_line,
    guessed_name,
    label_files,
    lines_of,
    read_label_files,
)
from lib.datasets.raven import is_selection_table
from lib.errors import Problem
from lib.files import printable


def recognizes(folder: Path) -> bool:
    files = [file for file in label_files(folder, ".txt") if _is_label(first_line(file))]
    if not files:
        return False
    finder = Finder({str(file): file for file in recording_files(folder)})
    return any(finder.labelled(file) for file in files)


def read(folder: Path, include: str | None) -> tuple[dict[str, Path], pd.DataFrame, list[Problem]]:
    """Text files that are neither called like a recording nor begin with a label are left aside."""
    finder = Finder({str(file): file for file in recording_files(folder)})
    files = [
        file
        for file in label_files(folder, ".txt")
        if (_is_label(first_line(file)) or finder.labelled(file)) and not is_selection_table(file)
    ]
    return read_label_files(folder, include, files, rows_of)


def rows_of(file: Path, finder: Finder) -> list[Row]:
    """The labels of a file. Raises DataSetError."""
    recording = finder.labelled(file) or guessed_name(file)
    rows: list[Row] = []
    for number, line in lines_of(file):
        fields = [field.strip() for field in line.split("\t")]
        if fields[0] == "\\":
            if rows:
                rows[-1] |= dict(zip(("low_freq", "high_freq"), map(_frequency, fields[1:]), strict=False))
            continue
        start, end, label = (*fields, "", "")[:3]
        name, score = _split_score(label)
        row = {"recording": recording, "class": name, "start_time": start, "end_time": end, "confidence": score}
        rows.append(row | {"line": f"{printable(str(file))}:{number}"})
    return rows


def _is_label(line: str) -> bool:
    fields = line.split("\t")
    try:
        return len(fields) >= 2 and float(fields[0]) <= float(fields[1])
    except ValueError:
        return False


def _split_score(label: str) -> tuple[str, str]:
    name, separator, score = label.rpartition(";")
    try:
        if separator and 0 <= float(score) <= 1:
            return name.strip(), score.strip()
    except ValueError:
        pass
    return label, ""


def _frequency(text: str) -> str:
    """A frequency as text, or nothing for one that is not set."""
    try:
        return text if float(text) >= 0 else ""
    except ValueError:
        return ""
