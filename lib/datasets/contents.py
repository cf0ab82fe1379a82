"""A data set's contents, whatever its format."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pandas as pd

from lib.audio.reader import find_recordings
from lib.config import DataSet
from lib.datasets import FORMATS
from lib.datasets.tables import ANNOTATION_COLUMNS, checked_annotations, class_table, read_csv
from lib.errors import DataSetError, Problem


@dataclass(frozen=True)
class Contents:
    """What a data set holds.

    folder: where it lies. recordings: name -> file. annotations: table of recording, class (always the class name),
    start_time, end_time (s; inf: to the end of the recording) and the optional columns. classes: table with one row a
    class. problems: what was left out or is odd.
    """

    folder: Path
    recordings: dict[str, Path]
    annotations: pd.DataFrame
    classes: pd.DataFrame
    problems: list[Problem]


def read_data_set(data_set: DataSet) -> Contents:
    """Read a data set. Raises DataSetError if the folder, its format or all of its recordings are missing."""
    folder = Path(data_set.path)
    if not folder.is_dir():
        raise DataSetError(f"{folder}: no such folder; set data.train.path or data.test.path to your recordings")
    reader = _format_of(folder, data_set.format)
    recordings, annotations, problems = reader.read(folder, data_set.include)
    if not recordings:
        chosen = f" that match {data_set.include!r}" if data_set.include else ""
        raise DataSetError(f"{folder}: holds no recordings{chosen}; add some, or change data.*.path or data.*.include")
    classes, class_problems = class_table(folder, annotations)
    annotations, row_problems = checked_annotations(annotations, recordings, classes, data_set.include)
    return Contents(folder, recordings, annotations, classes, [*problems, *class_problems, *row_problems])


def read_annotated(recordings: str | Path, annotations: str | Path) -> Contents:
    """Recordings of a folder with the annotations of a CSV file: recording, class, start_time, end_time (s).

    A row without a class says that its recording holds nothing. Classes are those of a classes.csv beside the
    annotations, if there is one. Raises AudioError or DataSetError if there is nothing to be read.
    """
    found, problems = find_recordings(recordings)
    if not found:
        raise DataSetError(f"{recordings}: holds no recordings; give the folder that the annotations are about")
    rows = read_csv(Path(annotations), ANNOTATION_COLUMNS)
    rows["line"] = [f"{annotations}:{line}" for line in rows.index]
    rows = rows[rows["class"] != ""]
    classes, class_problems = class_table(Path(annotations).parent, rows)
    table, row_problems = checked_annotations(rows, found, classes, None)
    return Contents(Path(recordings), found, table, classes, [*problems, *class_problems, *row_problems])


def _format_of(folder: Path, name: str) -> ModuleType:
    if name != "auto":
        return importlib.import_module(FORMATS[name])
    for module in map(importlib.import_module, FORMATS.values()):
        if module.recognizes(folder):
            return module
    raise DataSetError(
        f"{folder}: the format is not recognized; it needs recordings/ and annotations.csv, annotation files of one of "
        f"the formats {', '.join(name for name in FORMATS if name not in ('segments', 'folders'))}, "
        "or a folder for each class"
    )
