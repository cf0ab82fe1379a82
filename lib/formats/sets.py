"""Format `sets`: several data sets as one; sets.csv lists their folders or tables (path), format and include.

A set may leave format and include empty, unless it is a table, which needs its format. All are below the folder of
sets.csv, which DVC then watches as a whole. Without sets.csv, the sets are the folders
with recordings/ and annotations.csv, such as one for each site. Recordings of several sets that share a name are called
by their set's folder, too. A classes.csv beside the sets holds for all of them.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from lib.core.csv_files import read_csv
from lib.core.errors import DataSetError, Problem
from lib.core.files import printable
from lib.formats import READERS, Annotated, Reader, reader_of
from lib.sound.recordings import Recordings

TABLE = "sets.csv"


def _recognizes(folder: Path) -> bool:
    return (folder / TABLE).is_file() or bool(_sets_below(folder))


def _sets_below(folder: Path) -> list[Path]:
    is_set = READERS["segments"].recognizes
    if is_set(folder):
        return []
    return [child for child in sorted(folder.iterdir()) if child.is_dir() and is_set(child)]


def _listed(folder: Path) -> Iterator[tuple[str, Path, str, str | None]]:
    """Of each set: where it is listed, its folder or table, its format and which recordings to include."""
    if not (folder / TABLE).is_file():
        for place in _sets_below(folder):
            yield printable(str(place)), place, "segments", None
        return
    for line, row in read_csv(folder / TABLE, ["path"]).iterrows():
        where = printable(f"{folder / TABLE}:{line}")
        yield where, folder / row["path"], row.get("format") or "auto", row.get("include") or None


def _read(folder: Path, include: str | None) -> Annotated:
    import pandas as pd

    root, parts = folder.resolve(), dict[Path, Annotated]()
    for where, place, format_name, included in _listed(folder):
        real = place.resolve()
        if real == root or not real.is_relative_to(root) or real in parts:
            raise DataSetError(where, f"{place} must be another folder below {folder}", "correct the path")
        place = folder / real.relative_to(root)  # the row may lead there by other ways
        try:
            reader = reader_of(place, format_name)
        except DataSetError as error:
            raise DataSetError(where, f"{error.subject}: {error.fault}", error.remedy) from None
        parts[real] = reader.read(place, included or include)
    counts = Counter(name for part in parts.values() for name in part.recordings)
    shared = {name for name, count in counts.items() if count > 1}
    called = {f"{_called(root, place)}/{name}" for place, part in parts.items() for name in shared & {*part.recordings}}
    if called & counts.keys():
        shared = set(counts)  # a folder within a set is called as another set
    recordings, tables, problems = Recordings(), list[pd.DataFrame](), list[Problem]()
    for place, part in parts.items():
        names = {name: f"{_called(root, place)}/{name}" if name in shared else name for name in part.recordings}
        recordings |= {names[name]: file for name, file in part.recordings.items()}
        tables.append(part.rows.assign(recording=[names.get(name, name) for name in part.rows["recording"]]))
        problems += part.problems
    if not tables:
        raise DataSetError(folder / TABLE, "lists no data sets", "add rows of path,format")
    rows = pd.concat(tables, ignore_index=True).fillna("")  # where a set lacks an optional column
    return Annotated(dict(sorted(recordings.items())), rows, problems)


def _called(root: Path, place: Path) -> str:
    return printable(place.relative_to(root).as_posix())


READERS.register("sets", Reader(0, "sets.csv", _recognizes, _read))
