"""Formats `csv` and `openmic`: a table that says which classes sound in each clip.

csv: a column `file` with the names of the clips, and a column for each class, of 1 (it sounds in the clip) and 0 or
nothing.

openmic: as in OpenMIC-2018 (Humphrey et al. 2018, ISMIR), rows of `sample_key` (a clip), `instrument` and `relevance`,
which is the share of annotators, weighted by how far they can be trusted, who heard the instrument; it sounds from 0.5
on. What was not asked about counts as absent.

The data set is a folder with such tables and clips, or one table, whose clips lie anywhere below its folder. Of a
folder's tables with a column `file`, those that hold other values than 0 and 1 are read only if there are no others.
Clips that no table lists are left out: nobody knows what they hold.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lib.core.csv_files import delimiter_of, number_in, read_csv
from lib.core.errors import DataSetError, Problem
from lib.core.files import printable
from lib.core.wording import counted, shortened
from lib.formats import READERS, Annotated, Reader
from lib.formats.annotation_files import annotation_files, first_line
from lib.sound.annotations import AnnotationRow, annotation_table, whole_recording
from lib.sound.recordings import RecordingFinder, find_recordings

if TYPE_CHECKING:
    import pandas as pd

OPENMIC = ["sample_key", "instrument", "relevance"]
HEARD = 0.5


def _cells_of_columns(file: Path) -> "pd.DataFrame":
    import numpy as np
    import pandas as pd

    table = read_csv(file, ["file"])
    names = [name for name in table.columns if name not in ("file", "")]
    values = table[names].replace("", "0").to_numpy().ravel()
    clips, lines = (np.repeat(column, len(names)) for column in (table["file"].to_numpy(), table.index))
    return pd.DataFrame(
        {"clip": clips, "class": np.tile(np.array(names, object), len(table)), "value": values}, index=lines
    )


def _cells_of_openmic(file: Path) -> "pd.DataFrame":
    return read_csv(file, OPENMIC)[OPENMIC].set_axis(["clip", "class", "value"], axis=1)


def _holds_only_0_and_1(file: Path) -> bool:
    """Whether a table has other columns than `file`, and nothing but 0 and 1 in those."""
    with suppress(DataSetError):
        values = _cells_of_columns(file)["value"].unique()
        return len(values) > 0 and all(number_in(value) in (0, 1) for value in values)
    return False


def _header(file: Path) -> list[str]:
    line = first_line(file)
    return [name.strip().strip('"') for name in line.split(delimiter_of(line, []))]


def _reader(
    precedence: int,
    contents: str,
    columns: list[str],
    cells_of: "Callable[[Path], pd.DataFrame]",
    is_certain: Callable[[Path], bool] = lambda table: True,
) -> Reader:
    """A Reader of tables with these columns.

    Args:
        precedence, contents: as of a Reader.
        columns: that a table must have.
        cells_of: clip, class and value (whether the class sounds in the clip, as text) of each cell, by line.
        is_certain: whether such a table is recognized without being asked for.
    """

    def tables(folder: Path) -> Iterator[Path]:
        for file in annotation_files(folder, ".csv"):
            with suppress(DataSetError):
                if set(columns) <= set(_header(file)):
                    yield file

    def recognizes(folder: Path) -> bool:
        return any(map(is_certain, tables(folder)))

    def read(folder: Path, include: str | None) -> Annotated:
        is_table = folder.is_file()
        recordings, problems = find_recordings(folder.parent if is_table else folder, include)
        finder, rows, listed = RecordingFinder(recordings), list[AnnotationRow](), set[str]()
        files = [folder] if is_table else list(tables(folder))
        if not files:
            raise DataSetError(folder, f"holds no table of {contents}", "add one, or choose another format")
        if len(files) > 1 and (certain := list(filter(is_certain, files))):
            for file in sorted(set(files) - set(certain)):
                fault, remedy = f"is not a table of {contents}", "it is left out; correct it if it should be one"
                problems.append(Problem(printable(str(file)), fault, remedy, lost=False))
            files = certain
        for file in files:
            cells = cells_of(file)
            names = {clip: finder.named(clip, file) for clip in cells["clip"].unique()}
            numbers = cells["value"].map({value: number_in(value) for value in cells["value"].unique()})
            listed.update(names.values())
            for line, _, name, value in cells[~numbers.between(0, 1)].itertuples(name=None):
                fault = f"{name} = {value!r} is not a number in 0..1"
                problems.append(Problem(printable(f"{file}:{line}"), fault, "the class is left out; correct it"))
            for line, clip, name, _ in cells[numbers.between(HEARD, 1)].itertuples(name=None):
                rows.append(whole_recording(names[clip], name, f"{file}:{line}"))
        unknown = [name for name in recordings if name not in listed]
        if unknown and not is_table:
            fault = f"lists no classes of {counted(len(unknown), 'clip')} ({shortened(unknown)})"
            problems.append(Problem(printable(str(folder)), fault, "add rows; they are left out"))
        recordings = {name: file for name, file in recordings.items() if name in listed}
        return Annotated(recordings, annotation_table(rows), problems)

    return Reader(precedence, contents, recognizes, read, reads_table=True)


READERS.register("csv", _reader(6, "clips and classes in 0 and 1", ["file"], _cells_of_columns, _holds_only_0_and_1))
READERS.register("openmic", _reader(5, "clips, instruments and relevance", OPENMIC, _cells_of_openmic))
