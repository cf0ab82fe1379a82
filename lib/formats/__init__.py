"""Labelled sound as people store it: one module per format, which reads it, writes it, or both, and registers itself.

To add a format, add a module here that registers a Reader, a Writer or both under the format's name; settings, help and
error messages follow. Its import must be cheap: a setting that names a format is checked against all of them.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lib.core.errors import DataSetError, Problem
from lib.core.part_registry import Registry
from lib.sound.classes import ClassList
from lib.sound.labels import RecordingLabels
from lib.sound.recordings import Recordings

if TYPE_CHECKING:
    import pandas as pd


class Annotated(NamedTuple):
    """Contents of a folder: recordings, the annotation table as text with each row's `line`, and problems."""

    recordings: Recordings
    rows: "pd.DataFrame"
    problems: list[Problem]


class Reader(NamedTuple):
    """How a folder of a format is read.

    Args:
        precedence: `auto` tries formats of lower precedence first.
        contents: what such a folder contains, in words.
        recognizes: whether a folder is of the format.
        read: a folder, and a glob that recordings' names must match or None. Raises DataSetError.
        reads_table: whether `read` takes a table (a CSV file) in place of a folder, too.
    """

    precedence: int
    contents: str
    recognizes: Callable[[Path], bool]
    read: Callable[[Path, str | None], Annotated]
    reads_table: bool = False


class Writer(NamedTuple):
    """How label files of a format are written.

    Args:
        write: writes the labels of recordings to a file. Recordings come one at a time, so that memory does not grow
            with their number.
        each: name of the file of a single recording, with {} for the recording's; None: there is none.
        together: name of the file of all recordings; None: there is none.
        has_paths: whether files contain absolute paths of recordings, and must be rewritten when these move.
    """

    write: "Callable[[Path, Iterable[RecordingLabels], LabelScheme], None]"
    each: str | None = None
    together: str | None = None
    has_paths: bool = False


class LabelScheme:
    """What classes are called in label files, and which sound was analyzed.

    Args:
        classes: in the order of the scores.
        field: names, codes, alt_names or alt_codes.
        low_freq, high_freq: the analyzed band, Hz.
        window_seconds: length of a window, s.
        escape_formulas: in CSV files, see lib.core.csv_files.no_formula.
    """

    def __init__(
        self,
        classes: ClassList,
        field: str,
        low_freq: float,
        high_freq: float,
        window_seconds: float,
        escape_formulas: bool = True,
    ) -> None:
        self.names = classes.names
        self.shown = dict(zip(classes.names, classes.called(field), strict=True))
        self.scientific = dict(zip(classes.names, classes.called("alt_names"), strict=True))
        self.low_freq, self.high_freq, self.window_seconds = low_freq, high_freq, window_seconds
        self.escape_formulas = escape_formulas


READERS: Registry[Reader] = Registry("data set format", __name__)
WRITERS: Registry[Writer] = Registry("label format", __name__)


def is_table(place: Path, name: str) -> bool:
    """Whether a place is a table that the format of that name, if it is not auto, reads in place of a folder."""
    return place.is_file() and name != "auto" and READERS[name].reads_table


def reader_of(folder: Path, name: str) -> Reader:
    """The reader of a format, or, if the name is auto, of the one that a folder has.

    folder: may be a table, if it is_table of the format. Raises DataSetError, also if there is no such folder or table.
    """
    if not folder.exists():
        raise DataSetError(folder, "no such folder or table", "check the path")
    if not folder.is_dir() and not is_table(folder, name):
        of_tables = " or ".join(sorted(name for name, reader in READERS.items() if reader.reads_table))
        remedy = f"give a folder, or format {of_tables} if it is a table of clips"
        raise DataSetError(
            folder, "is a file" if name == "auto" else f"is a file, and format {name} needs a folder", remedy
        )
    if name != "auto":
        return READERS[name]
    readers = sorted(READERS.items(), key=lambda item: item[1].precedence)
    for _, reader in readers:
        if reader.recognizes(folder):
            return reader
    *others, last = (f"{reader.contents} ({name})" for name, reader in readers)
    raise DataSetError(folder, "the format is not recognized", f"it needs {', '.join(others)}, or {last}")
