"""What the formats share that keep annotations in files of their own, beside the recordings or in another folder.

Recordings lie anywhere below the data set's folder, and so do the annotation files. Folders that hold results of the
infer stage are passed over: what a model found is no annotation until somebody has copied it elsewhere.
"""

import os
import re
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import pandas as pd

from lib.audio.reader import SUFFIXES, find_recordings
from lib.datasets.tables import ANNOTATION_COLUMNS, OPTIONAL_COLUMNS
from lib.errors import DataSetError, Problem
from lib.files import printable

Row = dict[str, Any]
"""A row of the annotation table by column, with `line`, which says where it stands."""

HEAD_BYTES = 2**16
RESULTS = b"recording,path,"
"""How the file recordings.csv in a folder of the infer stage begins."""
ENDING = re.compile(r"\.(selections?|table|\d+|birdnet|results|annotations?|labels?|audacity|raven)$", re.IGNORECASE)
"""What annotation tools append to a recording's name, besides the suffix."""


def label_files(folder: Path, suffix: str) -> Iterator[Path]:
    """Files with a suffix below a folder, sorted, other than hidden ones and those of the infer stage."""
    seen: set[str] = set()  # a link may lead back to a folder above it
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        if "recordings.csv" in files and _begins(Path(place, "recordings.csv"), RESULTS):
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.lower().endswith(suffix) and not name.startswith("."):
                yield Path(place, name)


def _begins(file: Path, start: bytes) -> bool:
    try:
        with file.open("rb") as content:
            return content.read(len(start)) == start
    except OSError:
        return False


def first_line(file: Path) -> str:
    """The first line of a file that is not blank, or nothing; of a file that is no text, whatever it looks like."""
    try:
        with file.open("rb") as content:
            head = content.read(HEAD_BYTES).decode("utf-8-sig", "replace")
    except OSError:
        return ""
    return next(filter(str.strip, head.splitlines()), "")


def lines_of(file: Path) -> Iterator[tuple[int, str]]:
    """Number and text of each line of a file that is not blank. Raises DataSetError."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataSetError(f"{file}: is not UTF-8; save it as UTF-8 text") from None
    except OSError as error:
        raise DataSetError(f"{file}: cannot be read ({error.strerror}); check the file and its permissions") from None
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line.rstrip("\r")


class Finder:
    """Tells which recording an annotation is about.

    recordings: name -> file. Where several files have the name that is asked for, the one is meant whose folders are
    called like those of the annotation file.
    """

    def __init__(self, recordings: dict[str, Path]) -> None:
        self._by_stem: dict[str, list[tuple[str, Path]]] = {}
        for name, file in recordings.items():
            self._by_stem.setdefault(printable(file.stem), []).append((name, file))

    def named(self, text: str, label_file: Path) -> str:
        """The recording that is called by its file name or path, on whatever system, in an annotation file.

        Where there is none, what it would be called.
        """
        *folders, file_name = re.split(r"[/\\]", text.strip())
        stem = _without_suffix(file_name)
        candidates = self._by_stem.get(stem, [])
        candidates = [one for one in candidates if one[1].name == file_name] or candidates
        return _nearest(candidates, folders) or _nearest(candidates, list(label_file.parts[:-1])) or stem

    def is_shared(self, stem: str) -> bool:
        """Whether several recordings are called so."""
        return len(self._by_stem.get(stem, ())) > 1

    def labelled(self, label_file: Path) -> str | None:
        """The recording that an annotation file is called after, or None."""
        stem = printable(label_file.stem)
        while stem not in self._by_stem:
            shorter = _without_suffix(ENDING.sub("", stem))
            if shorter == stem:
                return None
            stem = shorter
        return _nearest(self._by_stem[stem], list(label_file.parts[:-1]))


def guessed_name(label_file: Path) -> str:
    """What the recording of an annotation file would be called."""
    stem = printable(label_file.stem)
    while (shorter := _without_suffix(ENDING.sub("", stem))) != stem:
        stem = shorter
    return stem


def _without_suffix(file_name: str) -> str:
    stem, suffix = os.path.splitext(file_name)
    return stem if suffix.lower() in SUFFIXES else file_name


def _nearest(candidates: list[tuple[str, Path]], folders: list[str]) -> str | None:
    """The name of the candidate whose folders end as those given do, if that is one."""
    if len(candidates) <= 1:
        return candidates[0][0] if candidates else None

    def likeness(file: Path) -> int:
        pairs = zip(reversed(file.parts[:-1]), reversed(folders), strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    likest = max(likeness(file) for _, file in candidates)
    best = [name for name, file in candidates if likeness(file) == likest]
    return best[0] if len(best) == 1 and likest else None


def read_label_files(
    folder: Path, include: str | None, files: list[Path], rows_of: Callable[[Path, Finder], list[Row]]
) -> tuple[dict[str, Path], pd.DataFrame, list[Problem]]:
    """Recordings below a folder, the annotations that `rows_of` finds in each file, and problems.

    A file for which it raises DataSetError is left out and reported.
    """
    recordings, problems = find_recordings(folder, include)
    finder = Finder(recordings)
    rows: list[Row] = []
    for file in files:
        try:
            rows += rows_of(file, finder)
        except DataSetError as error:
            shown = printable(str(file))
            reason, _, action = printable(str(error)).removeprefix(f"{shown}: ").rpartition("; ")
            problems.append(Problem(shown, reason, action))
    return recordings, annotation_table(rows), problems


def annotation_table(rows: list[Row]) -> pd.DataFrame:
    """Rows as a table with the required columns, `line`, and the optional ones that some row has."""
    optional = [column for column in OPTIONAL_COLUMNS if any(row.get(column) not in (None, "") for row in rows)]
    columns = [*ANNOTATION_COLUMNS, *optional, "line"]
    return pd.DataFrame([[row.get(column, "") for column in columns] for row in rows], columns=columns)


def field_of(fields: dict[str, str], names: tuple[str, ...]) -> str:
    """The first of these fields that says something, or nothing."""
    return next((fields[name] for name in names if fields.get(name)), "")
