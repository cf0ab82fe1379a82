"""Data sets as a command line names them: `irmastest:data/irmas/test,inference:/media/field`.

The type before the colon says how labels are stored: a format of lib.formats, `auto`, or `inference` for recordings
without labels. A path without a type is one of `inference`.
"""

import itertools
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from lib.config.schema import DataSetSettings
from lib.core.errors import SettingsError
from lib.core.part_registry import one_of
from lib.formats import READERS
from lib.formats.data_sets import DataSet, read_data_set
from lib.sound.annotations import annotation_table
from lib.sound.classes import CLASS_COLUMNS
from lib.sound.recordings import recordings_of

INFERENCE = "inference"


class DataSetPath(NamedTuple):
    """Where a data set is, and how its labels are stored; `inference`: it has none."""

    type: str
    path: str

    def __str__(self) -> str:
        return f"{self.type}:{self.path}"

    @property
    def is_labelled(self) -> bool:
        return self.type != INFERENCE


def parse_data_set_paths(text: str) -> list[DataSetPath]:
    """The data sets that a text names, with commas between. Raises SettingsError.

    >>> parse_data_set_paths("irmastest:data/irmas/test, /media/field")
    [DataSetPath(type='irmastest', path='data/irmas/test'), DataSetPath(type='inference', path='/media/field')]
    """
    types, paths = dict.fromkeys(["auto", *READERS, INFERENCE]), list[DataSetPath]()
    for entry in filter(None, map(str.strip, text.split(","))):
        name, colon, path = entry.partition(":")
        if colon and name in types and path:
            paths.append(DataSetPath(name, path))
        elif not colon or Path(entry).exists():
            paths.append(DataSetPath(INFERENCE, entry))
        else:
            raise SettingsError(f"--dataset_paths {entry}", "must be TYPE:PATH", f"TYPE {one_of(types)}")
    if not paths:
        raise SettingsError(f"--dataset_paths {text!r}", "names no data set", "give, say, irmastest:data/irmas/test")
    return list(dict.fromkeys(paths))


def read_data_sets(paths: Sequence[DataSetPath]) -> list[DataSet]:
    """The data sets at these paths, one after the other.

    A recording has the same name in all sets that hold its file, and no other recording of any set has it. Raises
    DataSetError as read_data_set, and AudioError as recordings_of.
    """
    data_sets = [_read(path) for path in paths]
    name_of, origin = dict[str, str](), dict[str, DataSetPath]()
    for path, data_set in zip(paths, data_sets, strict=True):
        for name, file in data_set.recordings.items():
            place = os.path.abspath(file)
            name_of.setdefault(place, name)
            origin.setdefault(place, path)
    counts = Counter(name_of.values())
    unique = dict[str, str]()
    taken = {name for name in name_of.values() if counts[name] == 1}
    for place, name in name_of.items():
        if counts[name] > 1:
            longer = f"{origin[place].path.rstrip('/')}/{name}"
            numbered = (f"{longer} ({number})" for number in itertools.count(2))
            name = next(each for each in itertools.chain([longer], numbered) if each not in taken)
            taken.add(name)
        unique[place] = name
    return [_renamed(data_set, unique) for data_set in data_sets]


def _read(path: DataSetPath) -> DataSet:
    if path.is_labelled:
        return read_data_set(DataSetSettings(path=path.path, format=path.type))
    import pandas as pd

    recordings, problems = recordings_of(path.path)
    nothing = annotation_table([]).drop(columns="line")
    return DataSet(Path(path.path), recordings, nothing, pd.DataFrame(columns=CLASS_COLUMNS), problems)


def _renamed(data_set: DataSet, name_of: dict[str, str]) -> DataSet:
    """A data set whose recordings are called by other names, given by their absolute paths."""
    names = {name: name_of[os.path.abspath(file)] for name, file in data_set.recordings.items()}
    recordings = {names[name]: file for name, file in data_set.recordings.items()}
    annotations = data_set.annotations.assign(recording=data_set.annotations["recording"].map(names))
    return replace(data_set, recordings=dict(sorted(recordings.items())), annotations=annotations)
