"""A data set's contents, whatever its format."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pandas as pd

from lib.config import DataSet
from lib.datasets import FORMATS
from lib.datasets.tables import checked_annotations, class_table
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


def _format_of(folder: Path, name: str) -> ModuleType:
    if name != "auto":
        return importlib.import_module(FORMATS[name])
    for module in map(importlib.import_module, FORMATS.values()):
        if module.recognizes(folder):
            return module
    raise DataSetError(
        f"{folder}: the format is not recognized; it needs recordings/ and annotations.csv, or a folder for each class"
    )
