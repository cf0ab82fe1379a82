"""Annotations of the testers: CSV files that say what is in a recording, in a block of it, or from when to when.

A row without a class says that its recording, or block, was listened to and holds nothing. Each reader takes `aliases`
(any name or code of a class -> what the labels call it), turns rows that cannot be used into problems, and raises
DataSetError if the file cannot be used.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from lib.core.csv_files import numbers_in, read_csv
from lib.core.errors import DataSetError, Problem
from lib.core.wording import counted, shortened

ROW_COLUMNS = ["recording", "class", "name", "block", "start_time", "end_time"]


class Annotation(NamedTuple):
    """A sound of a class from start_time to end_time (s)."""

    start_time: float
    end_time: float
    class_code: str


@dataclass(frozen=True)
class Truths:
    """What the annotations say.

    Args:
        rows: recording, class (as it is annotated; "": there is none), name (what the labels call it; "": there is
            none, or the model does not know it), and start_time and end_time (s) or block (from 1).
        others: recordings in which classes are annotated that the model does not know.
        problems: what was left out.
    """

    rows: pd.DataFrame
    others: set[str]
    problems: list[Problem]

    @property
    def classes(self) -> list[str]:
        """The annotated classes, sorted."""
        return sorted(set(self.rows["name"]) - {""})


def read_sounds(path: str | Path, aliases: Mapping[str, str]) -> Truths:
    """Sounds from a CSV file of recording, class, start_time, end_time (s)."""
    rows = _rows(path, ["recording", "class", "start_time", "end_time"])
    for column in ("start_time", "end_time"):
        rows[column] = numbers_in(rows[column])
    is_usable = (rows["class"] == "") | ((rows["start_time"] >= 0) & (rows["start_time"] <= rows["end_time"]))
    fault = "start_time and end_time must be seconds, and start_time must not exceed end_time"
    return _truths(path, rows, is_usable, fault, aliases)


def read_blocks(path: str | Path, aliases: Mapping[str, str]) -> Truths:
    """Classes of blocks from a CSV file of recording, block (from 1), classes (with commas between)."""
    rows = _rows(path, ["recording", "block", "classes"])
    rows["block"] = numbers_in(rows["block"])
    is_usable = (rows["block"] >= 1) & (rows["block"] % 1 == 0)
    return _truths(path, _split(rows, aliases), is_usable, "block must be a whole number from 1", aliases)


def read_recordings(path: str | Path, aliases: Mapping[str, str]) -> Truths:
    """Classes of recordings from a CSV file of recording, classes (with commas between); each is its block 1."""
    rows = _rows(path, ["recording", "classes"]).assign(block=1)
    return _truths(path, _split(rows, aliases), rows["block"] == 1, "", aliases)


def classes_by_block(truths: Truths) -> dict[str, dict[int, list[str]]]:
    """Recording -> block -> its classes, in the order of the file."""
    blocks: dict[str, dict[int, list[str]]] = {}
    for recording, name, block in truths.rows[["recording", "name", "block"]].itertuples(index=False):
        classes = blocks.setdefault(recording, {}).setdefault(int(block), [])
        if name and name not in classes:
            classes.append(name)
    return blocks


def class_entries(path: str | Path) -> list[dict[str, str]]:
    """What classes are called, from the classes.csv beside an annotation file, if there is one."""
    file = Path(path).with_name("classes.csv")
    return read_csv(file, ["name"]).to_dict("records") if file.is_file() else []  # type: ignore[return-value]


def annotated_recordings(path: str | Path) -> set[str]:
    """The recordings that an annotation file names."""
    return set(_rows(path, ["recording"])["recording"])


def _rows(path: str | Path, columns: list[str]) -> pd.DataFrame:
    rows = read_csv(Path(path), columns)
    rows = rows[rows["recording"] != ""]
    if rows.empty:
        raise DataSetError(path, "holds no annotations", f"add rows of {','.join(columns)}")
    return rows.copy()


def _split(rows: pd.DataFrame, aliases: Mapping[str, str]) -> pd.DataFrame:
    """Rows with a list of labels as their class; a class may have a comma in its name."""
    labels = [[text] if text in aliases else [label.strip() for label in text.split(",")] for text in rows["classes"]]
    return rows.assign(**{"class": labels})


def _truths(
    path: str | Path, rows: pd.DataFrame, is_usable: pd.Series, fault: str, aliases: Mapping[str, str]
) -> Truths:
    problems = [Problem(f"{path}:{line}", fault, "correct the row") for line in rows.index[~is_usable]]
    rows = rows[is_usable].explode("class", ignore_index=True)
    rows["name"] = [aliases.get(label, "") for label in rows["class"]]
    unknown = rows[(rows["class"] != "") & (rows["name"] == "")]
    if len(unknown):
        labels = sorted(set(unknown["class"]))
        fault = f"names {counted(len(labels), 'class', 'classes')} that the model does not know: {shortened(labels)}"
        problems.append(Problem(str(path), fault, "they take no part; correct them, or train with them"))
    columns = [column for column in ROW_COLUMNS if column in rows]
    return Truths(rows[columns], set(unknown["recording"]), problems)
