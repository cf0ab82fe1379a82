"""Labels that a model made, read from the folder that they are in, whichever program wrote it.

A folder holds one of these, the first of which is read:

- a results store of infer;
- a table: `scores.csv`, or one other CSV file of recording, name, start_time, end_time, score;
- Audacity label files, `<recording>.txt` or `<recording>_<anything>.txt`, of lines `start, end, name;score` with tabs
  between; labels may be merged there, and low scores left out.

Beside a table or label files, `manifest.yaml` may tell which classes the model knows, by what names, how long a segment
is, what neighbours share and where the first one starts, and `recordings.csv` how long recordings are and which failed;
otherwise the labels tell. Labels call classes by one of their names or codes, and so do the reports; others are
understood, too.
"""

import csv
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from lib.core.csv_files import from_no_formula, read_csv
from lib.core.errors import DataSetError, Problem
from lib.core.files import header_line, read_text
from lib.core.wording import counted, shortened
from lib.results.results_store import AGAIN, ResultsStore
from lib.sound.classes import LABEL_FIELDS, ClassList
from lib.sound.grid import expand_ranges
from lib.sound.labels import RESULTS_FILE

COLUMNS = ["recording", "name", "start_time", "end_time", "score"]
DURATION_COLUMNS = ["recording", "seconds", "status", "reason"]
SAME = 0.01
"""Seconds by which times in label files may differ that are the same: they are rounded."""
UNMERGED = "run inference with a threshold of 0 and without merging labels"


@dataclass(frozen=True)
class ScoredSegments:
    """Segments that a model scored; those of a recording follow one another, in order of time.

    Args:
        recordings: r names, sorted.
        recording: int (n,), index into recordings.
        start_time, end_time: float (n,), s.
        scores: float32 (n, c), 0..1; 0: the segment has no label of that class.
    """

    recordings: list[str]
    recording: np.ndarray
    start_time: np.ndarray
    end_time: np.ndarray
    scores: np.ndarray

    def of(self, names: list[str]) -> "ScoredSegments":
        """The segments of some recordings. names: sorted."""
        recording = pd.Index(names).get_indexer(self.recordings)[self.recording]
        rows = slice(None) if (recording >= 0).all() else recording >= 0
        arrays = (array[rows] for array in (recording, self.start_time, self.end_time, self.scores))
        return ScoredSegments(names, *arrays)

    def cut(self, end_time: np.ndarray) -> "ScoredSegments":
        """The segments, none of which ends after its end_time, float (n,), s."""
        return replace(self, end_time=np.minimum(self.end_time, end_time))


@dataclass(frozen=True)
class FolderLabels:
    """Scores of a model for the segments of some recordings.

    Args:
        segments: with scores of the classes, in their order.
        classes: of the model, as the labels call them, sorted.
        aliases: any name or code of a class -> what the labels call it.
        segment_len: length of a segment, s.
        overlap: what neighbouring segments share, s.
        origin: start of the first segment of each recording, s.
        is_complete: whether every segment that was scored is among `segments`; else only those with labels are.
        by_infer: whether infer made the segments, so that they are the windows of lib.sound.grid.
        seconds: recording -> duration (s), as far as it is known.
        failed: recording -> why it was not analyzed.
        problems: lines that cannot be used, and names that several classes share.
    """

    segments: ScoredSegments
    classes: list[str]
    aliases: dict[str, str]
    segment_len: float
    overlap: float
    origin: float
    is_complete: bool
    by_infer: bool
    seconds: dict[str, float]
    failed: dict[str, str]
    problems: list[Problem]

    @property
    def hop(self) -> float:
        """Seconds from one segment to the next."""
        return self.segment_len - self.overlap


def read_label_folder(
    folder: str | Path, recordings: Collection[str] = (), entries: Iterable[Mapping[str, Any]] = ()
) -> FolderLabels:
    """Read a folder of labels.

    Args:
        folder: the folder.
        recordings: known names, which tell the recording of a label file, and what a results store lacks.
        entries: name, code, alt_name and alt_code of classes, in addition to those that the folder tells.

    Raises DataSetError if there are no labels, or if they are not those of segments of one length on one grid.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataSetError(folder, "no such folder of labels", "run inference first, or correct the path")
    if (folder / RESULTS_FILE).is_file():
        return _read_store(folder, recordings, entries)
    manifest = _read_manifest(folder)
    path = _find_table(folder)
    table, problems = _read_table(path) if path else _read_label_files(folder, set(recordings))
    listed = manifest.get("classes")
    trained = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    classes, aliases, name_problems = _class_names(folder, trained, entries, set(table["name"].cat.categories) - {""})
    if not classes:
        raise DataSetError(folder, "holds no labels", UNMERGED)
    table["name"] = table["name"].map(aliases)
    spacing = _spacing(table, manifest, folder)
    durations = _read_durations(folder / "recordings.csv")
    problems, segments = [*problems, *name_problems], _segments(table, classes)
    return FolderLabels(segments, classes, aliases, *spacing, False, "segment_len" in manifest, *durations, problems)


def _read_store(folder: Path, known: Collection[str], entries: Iterable[Mapping[str, Any]]) -> FolderLabels:
    with ResultsStore(folder) as store:
        store.check_scores()
        manifest, results = store.manifest, store.recordings()
        classes, aliases, problems = _class_names(folder, manifest.classes, entries, set())
        columns = pd.Index([aliases[name] for name in manifest.class_list.names]).get_indexer(classes)
        names = [name for name, result in results.items() if result.is_ok]
        scores = [np.zeros((0, len(classes)), np.float32), *(store.scores(name).take(columns, 1) for name in names)]
    counts = np.array([len(each) for each in scores[1:]], np.int64)
    recording, index = expand_ranges(np.zeros_like(counts), counts - 1)
    start = manifest.start_seconds + index * manifest.hop
    segments = ScoredSegments(names, recording, start, start + manifest.segment_len, np.concatenate(scores))
    spacing = manifest.segment_len, manifest.overlap, manifest.start_seconds
    seconds = {name: float(results[name].seconds or 0) for name in names}
    failed = {name: result.reason for name, result in results.items() if not result.is_ok}
    failed |= {name: "was not analyzed" for name in known if name not in results}
    return FolderLabels(segments, classes, aliases, *spacing, True, True, seconds, failed, problems)


def _segments(table: pd.DataFrame, classes: list[str]) -> ScoredSegments:
    """The segments that have labels."""
    recording, start = table["recording"].cat.codes, table["start_time"]
    row = table.groupby([recording, start]).ngroup().to_numpy()
    n_segments = row.max(initial=-1) + 1
    owner, start_time, end_time = np.zeros(n_segments, np.int64), np.zeros(n_segments), np.zeros(n_segments)
    owner[row], start_time[row] = recording, start
    np.maximum.at(end_time, row, table["end_time"])
    scores = np.zeros((n_segments, len(classes)), np.float32)
    column = pd.Index(classes).get_indexer(table["name"])
    is_named = column >= 0
    np.maximum.at(scores, (row[is_named], column[is_named]), table["score"].to_numpy()[is_named])
    return ScoredSegments(list(table["recording"].cat.categories), owner, start_time, end_time, scores)


def _read_manifest(folder: Path) -> dict[str, Any]:
    """What manifest.yaml of a folder says; empty if there is none. Raises DataSetError."""
    path = folder / "manifest.yaml"
    try:
        manifest = yaml.safe_load(read_text(path))
    except FileNotFoundError:
        return {}
    except (UnicodeDecodeError, yaml.YAMLError):
        manifest = None
    if not isinstance(manifest, dict):
        raise DataSetError(path, "is not a YAML mapping", f"{AGAIN} again, or remove it")
    return manifest


def _read_durations(path: Path) -> tuple[dict[str, float], dict[str, str]]:
    """Durations (s) and failures of recordings that infer listed."""
    if not path.is_file() or not set(DURATION_COLUMNS) <= set(_header(path)):
        return {}, {}
    rows = read_csv(path, []).set_index("recording")
    seconds = pd.to_numeric(rows["seconds"], errors="coerce")
    return seconds[seconds > 0].to_dict(), rows.loc[rows["status"] != "ok", "reason"].to_dict()


def _find_table(folder: Path) -> Path | None:
    tables = [path for path in sorted(folder.glob("*.csv")) if set(COLUMNS) <= set(_header(path))]
    preferred = [path for path in tables if path.stem == "scores"] or tables
    if len(preferred) > 1:
        names = ", ".join(path.name for path in preferred)
        raise DataSetError(folder, f"holds several tables of labels ({names})", "keep one, or call it scores.csv")
    return preferred[0] if preferred else None


def _header(path: Path) -> list[str]:
    return next(csv.reader([header_line(path)]), [])


def _read_table(path: Path) -> tuple[pd.DataFrame, list[Problem]]:
    types = dict.fromkeys(COLUMNS[:2], str) | dict.fromkeys(COLUMNS[2:], np.float64)
    try:
        table = pd.read_csv(path, usecols=COLUMNS, dtype=types, keep_default_na=False, encoding="utf-8-sig")
    except ValueError as error:
        raise DataSetError(path, str(error).splitlines()[0], "correct it, or run inference again") from None
    for column in COLUMNS[:2]:
        table[column] = table[column].map({text: from_no_formula(text) for text in table[column].unique()})
    table, problems = _usable(table.assign(line=table.index + 2), path)
    return table.astype({"recording": "category", "name": "category"}), problems


def _read_label_files(folder: Path, recordings: set[str]) -> tuple[pd.DataFrame, list[Problem]]:
    files = sorted(folder.glob("*.txt"))
    if not files:
        raise DataSetError(folder, "holds neither label files (.txt) nor scores.csv", UNMERGED)
    tables, problems = [], []
    for path in files:
        lines = read_text(path, "replace").split("\n")
        rows = [
            (number, *_parsed(line))
            for number, line in enumerate(lines, 1)
            if line.strip() and not line.startswith("\\")  # behind a backslash: the frequencies of the label above
        ]
        table = pd.DataFrame(rows, columns=["line", *COLUMNS[1:]])
        table, file_problems = _usable(table.astype(dict.fromkeys(COLUMNS[2:], np.float64)), path)
        tables.append(table.assign(recording=_recording_of(path, recordings)))
        problems += file_problems
    return pd.concat(tables, ignore_index=True).astype({"recording": "category", "name": "category"}), problems


def _parsed(line: str) -> tuple[str, float, float, float]:
    """Name, start, end and score of a line of a label file; NaN if it is not a label."""
    try:
        start, end, label = line.split("\t", 2)
        name, separator, score = label.rpartition(";")
        if not separator:  # BirdNET: `Turdus merula, Common Blackbird`, tab, score
            name, _, score = label.partition("\t")
            name = name.rpartition(", ")[2]
        return name.strip(), float(start), float(end), float(score)
    except ValueError:
        return "", np.nan, np.nan, np.nan


def _recording_of(path: Path, recordings: set[str]) -> str:
    """The recording that a label file is about."""
    stem = path.name.removesuffix(".txt").removesuffix(".BirdNET.results")
    shorter = stem.rpartition("_")[0]
    if stem in recordings:
        return stem
    return shorter if shorter in recordings else stem.removesuffix("_scores")


def _usable(table: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, list[Problem]]:
    """The rows that are labels, and a problem that tells the line of the first other one, if there is any."""
    start, end = table["start_time"], table["end_time"]
    is_label = (start >= 0) & (start < end) & np.isfinite(end) & table["score"].between(0, 1)
    labels = table[is_label].drop(columns="line").astype({"score": np.float32})
    if is_label.all():
        return labels, []
    lines = table["line"][~is_label]
    more = f" (and {counted(len(lines) - 1, 'more line')})" if len(lines) > 1 else ""
    fault = f"is not a label of a start, a later end, a name and a score in 0..1{more}"
    return labels, [Problem(f"{path}:{lines.iloc[0]}", fault, "correct it, or run inference again")]


def _class_names(
    folder: Path, trained: list[dict[str, Any]], others: Iterable[Mapping[str, Any]], used: Collection[str]
) -> tuple[list[str], dict[str, str], list[Problem]]:
    """What the labels call the model's classes, sorted, and by any of their names and codes; and problems of names.

    Args:
        folder: of the labels.
        trained: entries of the classes that the model knows.
        others: further entries, with more names of those.
        used: names in the labels.
    """
    named = [_named(entry) for entry in [*trained, *others]]
    of_model = {entry["name"] for entry in named[: len(trained)]}
    entries: dict[str, dict[str, str]] = {}
    for entry in named:
        entries[entry["name"]] = entry | entries.get(entry["name"], {})
    known = ClassList(entry for name, entry in entries.items() if name)
    field = max(LABEL_FIELDS, key=lambda field: sum(label in used for label in known.called(field)))
    called = dict(zip(known.names, known.called(field), strict=True))
    labels = {label for entry in known.entries for label in entry.values() if label}
    aliases = {label: called[name] for label in labels if (name := known.resolve(label)) is not None}
    aliases |= {name: name for name in called.values()}  # what the labels call a class means that one alone
    classes = {called[name] for name in known.names if name in of_model} | {aliases.get(name, name) for name in used}
    aliases = {label: name for label, name in aliases.items() if name in classes} | {name: name for name in classes}
    shared = {label for entry in known.entries if called[entry["name"]] in classes for label in entry.values()}
    problems = []
    if shared := shared.intersection(known.shared) - aliases.keys():
        fault = f"these names mean several classes, and so none: {shortened(sorted(shared))}"
        problems.append(Problem(str(folder), fault, "call those classes by other names", lost=False))
    return sorted(classes), aliases, problems


def _named(entry: Mapping[str, Any]) -> dict[str, str]:
    """What a class is called, as far as it is text; without a name it goes by its code, or what else there is."""
    texts = {key: value for key in LABEL_FIELDS.values() if isinstance(value := entry.get(key), str) and value}
    return {"name": next(iter(texts.values()), "")} | texts


def _spacing(table: pd.DataFrame, manifest: dict[str, Any], folder: Path) -> tuple[float, float, float]:
    """Length of a segment, what neighbouring ones share, and where the first one starts (s)."""
    lengths = np.round((table["end_time"] - table["start_time"]).to_numpy(), 3)
    values, counts = np.unique(lengths, return_counts=True)
    if not len(values) and "segment_len" not in manifest:
        raise DataSetError(folder, "holds no label by which to tell how long a segment is", UNMERGED)
    try:
        length = float(manifest["segment_len"] if "segment_len" in manifest else values[counts.argmax()])
        overlap = float(manifest["overlap"] if "overlap" in manifest else max(0.0, length - _hop(table)))
        origin = float(manifest.get("start_seconds", 0))
    except (TypeError, ValueError):
        fault = "segment_len, overlap and start_seconds must be numbers"
        raise DataSetError(folder / "manifest.yaml", fault, "give seconds, or run inference again") from None
    if len(values) and values[-1] > length + SAME:
        different = f"labels of different lengths ({length:g} s and {values[-1]:g} s)"
        raise DataSetError(folder, f"{different}, which is what merging makes", UNMERGED)
    if not 0 <= overlap < length:
        fault = f"overlap ({overlap:g} s) must be 0 or more and below {length:g} s"
        raise DataSetError(folder / "manifest.yaml", fault, "run inference again")
    return length, overlap, origin


def _hop(table: pd.DataFrame) -> float:
    """Seconds from a segment to the next: the mean of the smallest steps, so that rounded times do not add up."""
    in_order = table[["recording", "start_time"]].sort_values(["recording", "start_time"])
    steps = in_order.groupby("recording", observed=True)["start_time"].diff().to_numpy()
    steps = steps[steps > SAME]
    if not len(steps):
        return np.inf
    hop = float(steps[steps < 1.5 * steps.min()].mean())
    return round(hop, 3) if abs(hop - round(hop, 3)) < 1e-5 else hop
