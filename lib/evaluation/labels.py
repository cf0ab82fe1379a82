"""Labels that a model made, read from the folder that they are in, whichever program wrote it.

A folder holds a table (`scores.csv`, as the infer stage writes it, or one other CSV file with its columns), or Audacity
label files, `<recording>.txt` or `<recording>_<anything>.txt`, of lines `start, end, name;score` with tabs between. A
table goes before label files: in them, labels may be merged and low scores left out. A `manifest.yaml` tells which
classes the model knows, by what names, how long a segment is and what neighbours share; where it does not, the labels
tell.

Labels call classes by one field: name, code, alt_name or alt_code. Other names are understood where they mean one
class: subspecies may share an alt_name, which then says nothing.
"""

import csv
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lib.errors import DataSetError, Problem
from lib.evaluation.predictions import RECORDING_COLUMNS, read_manifest, read_recordings
from lib.evaluation.units import shortened
from lib.inference.labels import LABEL_FIELDS, class_fields

COLUMNS = ["recording", "name", "start_time", "end_time", "score"]
SAME = 0.01  # s; times in label files are rounded
UNMERGED = "run inference with a threshold of 0 and without merging labels"


@dataclass(frozen=True)
class Labels:
    """Scores of a model for the segments of some recordings.

    table: DataFrame of recording and name (categories), start_time and end_time (s) and score (float32, 0..1).
    classes: names of all classes of the model as the labels call them, sorted. aliases: what a class may be called ->
    its name. segment_len, overlap: length of a segment and what neighbours share (s). own: whether our infer stage
    wrote the folder. seconds: recording -> duration (s), failed: recording -> reason, as far as the folder tells.
    """

    table: pd.DataFrame
    classes: list[str]
    aliases: dict[str, str]
    segment_len: float
    overlap: float
    own: bool
    seconds: dict[str, float]
    failed: dict[str, str]
    problems: list[Problem]


def read_labels(folder: str | Path, recordings: Collection[str] = (), entries: Iterable[dict[str, str]] = ()) -> Labels:
    """Read a folder of labels.

    recordings: names that are known, by which to tell whose a label file is. entries: dicts of name, code, alt_name and
    alt_code of classes, which add names to those of manifest.yaml. Raises DataSetError where there are no labels, or
    where they are not those of segments of one length on one grid; single lines that cannot be used, and names that
    several classes share, become problems.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataSetError(f"{folder}: no such folder of labels; run inference first, or correct the path")
    manifest = read_manifest(folder)
    path = _find_table(folder)
    table, problems = _read_table(path) if path else _read_label_files(folder, set(recordings))
    listed = manifest.get("classes") if isinstance(manifest.get("classes"), list) else []
    trained = [entry for entry in listed if isinstance(entry, dict)]  # type: ignore[union-attr]
    known = [*map(_texts, trained), *map(_texts, entries)]
    called = _called(known, set(table["name"].cat.categories))
    meanings = _meanings(known, called)
    table["name"] = _renamed(table["name"], meanings)
    classes = {*called[: len(trained)], *table["name"].cat.categories} - {""}
    if not classes:
        raise DataSetError(f"{folder}: holds no labels; {UNMERGED}")
    aliases = {label: name for label, (name, *others) in meanings.items() if name in classes and not others}
    if shared := sorted(label for label, names in meanings.items() if len(names) > 1 and names & classes):
        reason = f"these names mean several classes, and so none: {shortened(shared)}"
        problems.append(Problem(str(folder), reason, "call those classes by other names", lost=False))
    segment_len, overlap = _spacing(table, manifest, folder)
    seconds, failed = _read_durations(folder / "recordings.csv")
    own = "segment_len" in manifest
    aliases |= {name: name for name in classes}
    return Labels(table, sorted(classes), aliases, segment_len, overlap, own, seconds, failed, problems)


def _find_table(folder: Path) -> Path | None:
    tables = [path for path in sorted(folder.glob("*.csv")) if set(COLUMNS) <= set(_header(path))]
    preferred = [path for path in tables if path.stem == "scores"] or tables
    if len(preferred) > 1:
        names = ", ".join(path.name for path in preferred)
        raise DataSetError(f"{folder}: holds several tables of labels ({names}); keep one, or call it scores.csv")
    return preferred[0] if preferred else None


def _header(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        return next(csv.reader(file), [])


def _read_table(path: Path) -> tuple[pd.DataFrame, list[Problem]]:
    types = dict.fromkeys(COLUMNS[:2], str) | dict.fromkeys(COLUMNS[2:], np.float64)
    try:
        table = pd.read_csv(path, usecols=COLUMNS, dtype=types, keep_default_na=False, encoding="utf-8-sig")
    except ValueError as error:
        raise DataSetError(f"{path}: {str(error).splitlines()[0]}; mend it, or run inference again") from None
    table = table.astype({"recording": "category", "name": "category"})
    usable = _usable(table)
    problems = [_unusable(path, int(np.argmin(usable)) + 2, int((~usable).sum()))] if not usable.all() else []
    return table[usable].astype({"score": np.float32}), problems


def _read_label_files(folder: Path, recordings: set[str]) -> tuple[pd.DataFrame, list[Problem]]:
    files = sorted(folder.glob("*.txt"))
    if not files:
        raise DataSetError(f"{folder}: holds neither label files (.txt) nor scores.csv; {UNMERGED}")
    names: dict[str, int] = {}
    owners: dict[str, int] = {}
    numbers, columns, owner, problems = [], [], [], []
    for path in files:
        values, called, lines, n_bad, first_bad = _parse(path)
        table = pd.DataFrame(values, columns=["start_time", "end_time", "score"])
        usable = _usable(table)
        if n_bad or not usable.all():
            faults = [lines[i] for i in np.flatnonzero(~usable)[:1]] + ([first_bad] if n_bad else [])
            problems.append(_unusable(path, min(faults), n_bad + int((~usable).sum())))
        index = np.array([names.setdefault(name, len(names)) for name in called], dtype=np.int64)
        numbers.append(values[usable])
        columns.append(index[usable])
        owner.append(np.full(int(usable.sum()), owners.setdefault(_owner(path, recordings), len(owners))))
    start, end, score = np.concatenate(numbers).T
    table = pd.DataFrame(
        {
            "recording": pd.Categorical.from_codes(np.concatenate(owner), list(owners)),
            "name": pd.Categorical.from_codes(np.concatenate(columns), list(names)),
            "start_time": start,
            "end_time": end,
            "score": score.astype(np.float32),
        }
    )
    return table, problems


def _parse(path: Path) -> tuple[np.ndarray, list[str], list[int], int, int]:
    """Start, end and score (n, 3), names and line numbers of a file's labels; its lines that are none, and the first.

    Lines that start with a backslash hold the frequencies of the label above.
    """
    values, names, lines, bad = [], [], [], []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").split("\n"), 1):
        if line.startswith("\\") or not line.strip():
            continue
        try:
            start, end, label = line.split("\t", 2)
            name, separator, score = label.rpartition(";")
            if not separator:  # BirdNET: `Turdus merula, Common Blackbird`, tab, score
                name, _, score = label.partition("\t")
                name = name.rpartition(", ")[2]
            values.append((float(start), float(end), float(score)))
        except ValueError:
            bad.append(number)
            continue
        names.append(name.strip())
        lines.append(number)
    return np.reshape(np.array(values, dtype=np.float64), (-1, 3)), names, lines, len(bad), min(bad, default=0)


def _owner(path: Path, recordings: set[str]) -> str:
    """The recording that a label file is about."""
    stem = path.name.removesuffix(".txt").removesuffix(".BirdNET.results")
    shorter = stem.rpartition("_")[0]
    if stem in recordings or shorter not in recordings:
        return stem if stem in recordings else stem.removesuffix("_scores")
    return shorter


def _usable(table: pd.DataFrame) -> np.ndarray:
    start, end = table["start_time"].to_numpy(), table["end_time"].to_numpy()
    return (start >= 0) & (start < end) & np.isfinite(end) & table["score"].between(0, 1).to_numpy()


def _unusable(path: Path, line: int, number: int) -> Problem:
    more = f" (and {number - 1} more lines)" if number > 1 else ""
    reason = f"is no label of a start, a later end, a name and a score in 0..1{more}"
    return Problem(f"{path}:{line}", reason, "mend it, or run inference again")


def _texts(entry: dict[str, Any]) -> dict[str, str]:
    """What a class is called, as far as it is text."""
    return {key: entry[key] for key in LABEL_FIELDS.values() if isinstance(entry.get(key), str) and entry[key]}


def _called(entries: list[dict[str, str]], used: set[str]) -> list[str]:
    """What the labels call, or would call, the class of each entry. used: names of classes in the labels.

    Entries of one name are one class, which is called as the first of them says.
    """
    fields = class_fields(entries)
    called = max(fields.values(), key=lambda labels: sum(label in used for label in labels))
    first: dict[str, str] = {}
    return [first.setdefault(entry.get("name", label), label) for entry, label in zip(entries, called, strict=True)]


def _meanings(entries: list[dict[str, str]], called: list[str]) -> dict[str, set[str]]:
    """Whatever a class may be called -> what the labels call the classes that it means.

    What the labels call a class means that one alone, whatever else is called so.
    """
    meanings: dict[str, set[str]] = {}
    for entry, name in zip(entries, called, strict=True):
        for label in entry.values():
            meanings.setdefault(label, set()).add(name)
    return meanings | {name: {name} for name in called}


def _renamed(column: pd.Series, meanings: dict[str, set[str]]) -> pd.Series:
    """A column of categories with those that no row has dropped, and each called by its name."""
    column = column.cat.remove_unused_categories()
    found = {name: meanings.get(name, {name}) for name in column.cat.categories}
    names = [next(iter(meant)) if len(meant) == 1 else name for name, meant in found.items()]
    unique = sorted(set(names))
    codes = pd.Index(unique, dtype=object).get_indexer(pd.Index(names, dtype=object))[column.cat.codes.to_numpy()]
    return pd.Series(pd.Categorical.from_codes(codes, pd.Index(unique, dtype=object)), index=column.index)


def _spacing(table: pd.DataFrame, manifest: dict[str, Any], folder: Path) -> tuple[float, float]:
    """Length of a segment and what neighbouring ones share (s)."""
    lengths = np.round((table["end_time"] - table["start_time"]).to_numpy(), 3)
    values, counts = np.unique(lengths, return_counts=True)
    try:
        length = float(manifest["segment_len"]) if "segment_len" in manifest else float(values[counts.argmax()])
        overlap = float(manifest["overlap"]) if "overlap" in manifest else None
    except (TypeError, ValueError):
        raise DataSetError(f"{folder / 'manifest.yaml'}: segment_len and overlap must be numbers (s)") from None
    if not len(values) and "segment_len" not in manifest:
        raise DataSetError(f"{folder}: holds no label by which to tell how long a segment is; {UNMERGED}")
    if len(values) and values[-1] > length + SAME:
        different = f"labels of different lengths ({length:g} s and {values[-1]:g} s)"
        raise DataSetError(f"{folder}: {different}, which is what merging makes; {UNMERGED}")
    if overlap is None:
        overlap = max(0.0, length - _hop(table)) if len(table) else 0.0
    if not 0 <= overlap < length:
        fault = f"overlap ({overlap:g} s) must be 0 or more and below {length:g} s"
        raise DataSetError(f"{folder / 'manifest.yaml'}: {fault}; run inference again")
    return length, overlap


def _hop(table: pd.DataFrame) -> float:
    """Seconds from a segment to the next: the mean of the smallest steps, so that rounded times do not add up."""
    order = np.lexsort((table["start_time"], table["recording"].cat.codes))
    start = table["start_time"].to_numpy()[order]
    same = np.diff(table["recording"].cat.codes.to_numpy()[order]) == 0
    steps = np.diff(start)[same]
    steps = steps[steps > SAME]
    if not len(steps):
        return np.inf
    hop = float(steps[steps < 1.5 * steps.min()].mean())
    return round(hop, 3) if abs(hop - round(hop, 3)) < 1e-5 else hop


def _read_durations(path: Path) -> tuple[dict[str, float], dict[str, str]]:
    """Durations (s) and failures that the infer stage has listed."""
    if not path.is_file() or not set(RECORDING_COLUMNS) <= set(_header(path)):
        return {}, {}
    rows = read_recordings(path)
    return (
        rows.loc[rows["seconds"] > 0, "seconds"].to_dict(),
        rows.loc[rows["status"] != "ok", "reason"].to_dict(),
    )
