"""Annotations of the testers: CSV files that say what is in a recording, in a block of it, or from when to when.

A row without a class says that its recording, or block, was listened to and holds nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lib.datasets.tables import read_csv
from lib.errors import DataSetError, Problem
from lib.evaluation.units import shortened


class Annotation(NamedTuple):
    """A sound of a class from start_time to end_time (s)."""

    start_time: float
    end_time: float
    class_code: str


@dataclass(frozen=True)
class Truths:
    """What the annotations say of classes that the model knows.

    annotations: by recording, as the reader below says. classes: sorted, those that are annotated. others: recordings
    in which classes are annotated that the model does not know. problems: what was left out.
    """

    annotations: dict[str, Any]
    classes: list[str]
    others: set[str]
    problems: list[Problem]


def read_sounds(path: str | Path, aliases: Mapping[str, str]) -> Truths:
    """annotations: recording -> list of Annotation. Columns: recording, class, start_time, end_time (s).

    aliases: whatever a class may be called -> its name; others are unknown. Raises DataSetError, here and below, where
    the file cannot be used; a row that cannot becomes a problem.
    """
    rows = _rows(path, ["recording", "class", "start_time", "end_time"])
    start, end = (pd.to_numeric(rows[name], errors="coerce").to_numpy(float) for name in ("start_time", "end_time"))
    fine = (rows["class"] == "").to_numpy() | ((start >= 0) & (start <= end))
    problems = [
        Problem(f"{path}:{line}", "start_time and end_time are no span of seconds", "mend the row")
        for line in rows.index[~fine]
    ]
    found = _Found(path, aliases, problems)
    for recording, label, begin, stop in zip(
        rows["recording"][fine], rows["class"][fine], start[fine], end[fine], strict=True
    ):
        sounds = found.annotations.setdefault(recording, [])
        sounds += [Annotation(float(begin), float(stop), name) for name in found.known(recording, [label])]
    return found.truths()


def read_blocks(path: str | Path, aliases: Mapping[str, str]) -> Truths:
    """annotations: recording -> block (from 1) -> list of classes. Columns: recording, block, classes (with commas)."""
    rows = _rows(path, ["recording", "block", "classes"])
    block = pd.to_numeric(rows["block"], errors="coerce").to_numpy(float)
    fine = np.isfinite(block) & (block >= 1) & (block == np.floor(block))
    problems = [
        Problem(f"{path}:{line}", "block is no whole number from 1", "mend the row") for line in rows.index[~fine]
    ]
    found = _Found(path, aliases, problems)
    for recording, number, labels in zip(rows["recording"][fine], block[fine], rows["classes"][fine], strict=True):
        classes = found.annotations.setdefault(recording, {}).setdefault(int(number), [])
        classes += [name for name in found.known(recording, _listed(labels, aliases)) if name not in classes]
    return found.truths()


def read_recordings(path: str | Path, aliases: Mapping[str, str]) -> Truths:
    """annotations: recording -> list of classes. Columns: recording, classes (with commas between)."""
    found = _Found(path, aliases, [])
    rows = _rows(path, ["recording", "classes"])
    for recording, labels in zip(rows["recording"], rows["classes"], strict=True):
        classes = found.annotations.setdefault(recording, [])
        classes += [name for name in found.known(recording, _listed(labels, aliases)) if name not in classes]
    return found.truths()


def class_entries(path: str | Path) -> list[dict[str, str]]:
    """What classes are called, of the classes.csv beside an annotation file, if there is one."""
    file = Path(path).with_name("classes.csv")
    return read_csv(file, ["name"]).to_dict("records") if file.is_file() else []  # type: ignore[return-value]


def annotated_recordings(path: str | Path) -> set[str]:
    """Names of the recordings that an annotation file names."""
    return set(_rows(path, ["recording"])["recording"])


def _rows(path: str | Path, columns: list[str]) -> pd.DataFrame:
    rows = read_csv(Path(path), columns)
    rows = rows[rows["recording"] != ""]
    if rows.empty:
        raise DataSetError(f"{path}: holds no annotations; add rows of {','.join(columns)}")
    return rows


def _listed(text: str, aliases: Mapping[str, str]) -> list[str]:
    """The labels in a text with commas between; a class may have a comma in its name."""
    return [text] if text in aliases else [label.strip() for label in text.split(",")]


class _Found:
    """Annotations that are being read, and the classes that the model does not know."""

    def __init__(self, path: str | Path, aliases: Mapping[str, str], problems: list[Problem]) -> None:
        self.annotations: dict[str, Any] = {}
        self._path, self._aliases, self._problems = path, aliases, problems
        self._classes: set[str] = set()
        self._unknown: dict[str, set[str]] = {}

    def known(self, recording: str, labels: list[str]) -> list[str]:
        """Names of those of the classes that the model knows."""
        names = []
        for label in labels:
            if label in self._aliases:
                names.append(self._aliases[label])
            elif label:
                self._unknown.setdefault(label, set()).add(recording)
        self._classes.update(names)
        return names

    def truths(self) -> Truths:
        problems = list(self._problems)
        if self._unknown:
            names = shortened(sorted(self._unknown))
            reason = f"names {len(self._unknown)} classes that the model does not know: {names}"
            problems.append(Problem(str(self._path), reason, "they take no part; correct them, or train with them"))
        others = set().union(*self._unknown.values()) if self._unknown else set()
        return Truths(self.annotations, sorted(self._classes), others, problems)
