"""Many recordings in, label files out, incrementally.

In the output folder each recording has its Audacity labels (`<recording>.txt`) and its scores
(`scores/<recording>.csv`); `scores.csv` holds all scores, `recordings.csv` what became of each recording and
`manifest.yaml` the model and the settings. recordings.csv grows by a line whenever a recording is done, with a key made
from the recording's content, the model and the settings: a run that was killed goes on where it stopped, and of
recordings that are known already only the bytes are read, to see that they are the same.
"""

import csv
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
import yaml

from lib.audio.spectrogram import Windows, recording_windows
from lib.config import Infer
from lib.console import progress
from lib.digests import digest_code, digest_file, digest_known_file, digest_of
from lib.errors import AudioError, EarshotError, Problem
from lib.files import atomic, printable, write_text
from lib.inference.labels import Hits, audacity_text, find_hits, make_labels
from lib.models.description import Description, read_description
from lib.models.files import model_files
from lib.occurrence.filter import OccurrenceFilter
from lib.parallel import map_streams, n_workers

SCORE_COLUMNS = ["recording", "name", "start_time", "end_time", "score"]
RECORDING_COLUMNS = ["recording", "path", "seconds", "status", "reason", "labels", "key"]
"""status: `ok` or `failed`; reason: why it failed, or what is odd about it; labels: in the Audacity file."""

CODE = (
    *("audio/reader.py", "audio/spectrogram.py", "audio/windows.py"),
    *("inference/analyzer.py", "inference/labels.py", "inference/predictor.py"),
    *("models/backbones.py", "models/recognizer.py"),
)
"""What a recording's results are made by: a change there makes them anew."""

Row = dict[str, str]
Score = Callable[[np.ndarray], np.ndarray]


@dataclass
class _Task:
    """A recording on its way through the analysis; the thread that reads it fills in what it learns."""

    name: str
    path: Path
    known: Row  # its row of an earlier run, if there was one
    key: str = ""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """Which classes may occur where the recordings were made: a filter, and a digest of the table it rests on."""

    filter: OccurrenceFilter
    digest: str


@dataclass(frozen=True)
class _Job:
    """What is the same for all recordings of a run; key: digest of all of it that the results depend on."""

    description: Description
    settings: Infer
    output: Path
    place: Place | None
    key: str


def analyze(
    recordings: dict[str, Path],
    model: Path,
    settings: Infer,
    output: Path,
    place: Place | None = None,
    keep_others: bool = False,
) -> tuple[list[Row], int, list[Problem]]:
    """Analyze recordings (name -> file) with a model (a checkpoint, or a folder of them) into the output folder.

    keep_others: keep results in the folder of recordings that are not among these; else they are removed. Returns the
    rows of these recordings in recordings.csv, the number of them that were not known already, and a Problem for each
    that cannot be read or is odd. Raises EarshotError if the model cannot be used, or if the folder holds what must not
    be overwritten or mixed.
    """
    description = read_description(model_files(model)[0])
    limit = description.audio.spec_duration
    if settings.overlap >= limit:
        raise EarshotError(
            f"infer.overlap = {settings.overlap:g}: must be below the model's spec_duration ({limit:g} s)"
        )
    output.mkdir(parents=True, exist_ok=True)
    manifest = _manifest(description, model, settings, place)
    job = _Job(description, settings, output, place, digest_of(manifest))
    known = _read_rows(output / "recordings.csv")
    others = {name: row for name, row in known.items() if name not in recordings}
    if not keep_others:
        for name in others:
            _remove(output, name)
        others = {}
    _check_output(output, set(recordings) - set(known), others, manifest)
    tasks = [_Task(name, path, known.get(name, {})) for name, path in recordings.items()]

    # Reading starts here: the first recordings are decoded while torch, which takes seconds, is imported below.
    streams = map_streams(lambda task: _read(task, job), tasks, n_workers(settings.workers))
    from lib.inference.predictor import Predictor
    from lib.models.device import leave_room_for_reading

    leave_room_for_reading()
    predictor = Predictor(model, settings.device, settings.precision)
    rows, problems, n_new = [], [], 0
    with _journal(output / "recordings.csv", known) as add_row:
        for task, windows in progress(streams, "infer", len(tasks)):
            row, is_new, odd = _finish(task, windows, predictor.get_block_scores, job)
            rows.append(row)
            problems += odd
            if is_new:
                n_new += 1
                add_row(row)
    all_rows = sorted([*rows, *others.values()], key=lambda row: row["recording"])
    _write_rows(output / "recordings.csv", all_rows)
    _join_scores(output, [row["recording"] for row in all_rows if row["status"] == "ok"])
    write_text(output / "manifest.yaml", yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True))
    return rows, n_new, problems


def _check_output(output: Path, new: set[str], others: dict[str, Row], manifest: dict) -> None:
    """Raise EarshotError if a file of somebody else would be overwritten, or results of different kinds be mixed."""
    for name in sorted(new):
        labels_file, scores_file = _result_files(output, name)
        if labels_file.exists() and not scores_file.exists():
            raise EarshotError(f"{labels_file}: was not made here and would be overwritten; give another --output")
    if others:
        try:
            same = yaml.safe_load((output / "manifest.yaml").read_text(encoding="utf-8")) == manifest
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            same = False
        if not same:
            fault = f"holds results of {len(others)} other recordings, by another model or with other settings"
            raise EarshotError(f"{output}: {fault}; give another --output")


def _read(task: _Task, job: _Job) -> Iterator[Windows]:
    """A recording's windows; none if its results stand in the output folder already."""
    try:
        task.key = digest_of([digest_known_file(task.path), job.key])
    except OSError as error:
        raise AudioError(f"cannot be read ({error.strerror}); check the file and its permissions") from None
    results = _result_files(job.output, task.name)
    if task.known.get("key") == task.key and all(path.is_file() for path in results):
        return
    audio, loudest = job.description.audio, 0.0
    hop = audio.spec_duration - job.settings.overlap
    for windows in recording_windows(task.path, audio, hop, job.settings.batch_size, note=task.notes.append):
        loudest = max(loudest, float(windows.spectrograms.max()))
        yield windows
    if loudest == 0:
        task.notes.append("is silent from start to end")


def _finish(task: _Task, windows: Iterator[Windows], score: Score, job: _Job) -> tuple[Row, bool, list[Problem]]:
    """Bring a recording's results into the output folder; returns its row, whether that is new, and what is odd."""
    shown = printable(str(task.path))
    row = {"recording": task.name, "path": shown}
    problems: list[Problem] = []
    try:
        first = next(windows, None)
        if first is None:
            row = task.known | row
        else:
            allowed, problems = _allowed(task, job)
            seconds, n_labels = _write_results(task, chain([first], windows), score, allowed, job)
            row |= {"seconds": repr(seconds), "status": "ok", "reason": "; ".join(task.notes)}
            row |= {"labels": str(n_labels), "key": task.key}
    except AudioError as error:
        reason, _, action = str(error).rpartition("; ")
        _remove(job.output, task.name)
        row |= {"seconds": "", "status": "failed", "reason": reason, "labels": "0", "key": task.key}
        return row, True, [Problem(shown, reason, action)]
    if row["reason"]:
        problems.append(Problem(shown, row["reason"], "check the file", lost=False))
    return row, first is not None, problems


def _allowed(task: _Task, job: _Job) -> tuple[np.ndarray, list[Problem]]:
    """Which classes may occur in a recording, bool (n_classes,)."""
    names = job.description.class_names
    return job.place.filter.allowed(names, task.name) if job.place else (np.ones(len(names), bool), [])


def _write_results(
    task: _Task, windows: Iterable[Windows], score: Score, allowed: np.ndarray, job: _Job
) -> tuple[float, int]:
    """Write a recording's scores, window by window, and its labels; returns its duration (s) and number of labels."""
    names, length = job.description.class_names, job.description.audio.spec_duration
    labels_file, scores_file = _result_files(job.output, task.name)
    labels_file.unlink(missing_ok=True)  # both files or none: of a run that is killed in between, nothing is taken up
    seconds, hits = 0.0, []
    with atomic(scores_file) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for starts, spectrograms, seconds in windows:  # noqa: B007
            scores = np.where(allowed, score(spectrograms), -1)
            hits.append(find_hits(starts, scores, job.settings.min_score))
            kept = find_hits(starts, scores, job.settings.csv_min_score)
            writer.writerows(
                (task.name, names[column], f"{start:.3f}", f"{start + length:.3f}", f"{value:.6g}")
                for start, column, value in zip(*kept, strict=True)
            )
    found = Hits(*map(np.concatenate, zip(*hits, strict=True)))
    labels = make_labels(found, length, names, job.settings.merge_labels)
    write_text(labels_file, audacity_text(labels))
    return seconds, len(labels)


def _manifest(description: Description, model: Path, settings: Infer, place: Place | None) -> dict:
    """All that the results depend on, besides the recordings."""
    workings = {"workers", "strict", "device"}
    return {
        "segment_len": description.audio.spec_duration,
        "overlap": settings.overlap,
        "classes": [{"name": entry["name"], "code": entry["code"]} for entry in description.classes],
        "models": {file.name: digest_file(file) for file in model_files(model)},
        "occurrences": place.digest if place else None,
        "infer": settings.model_dump(exclude=workings),
        "audio": description.audio.model_dump(),
        "code": digest_code(*CODE),
    }


def _result_files(output: Path, name: str) -> tuple[Path, Path]:
    return output / f"{name}.txt", output / "scores" / f"{name}.csv"


def _remove(output: Path, name: str) -> None:
    for path in _result_files(output, name):
        path.unlink(missing_ok=True)


def _read_rows(path: Path) -> dict[str, Row]:
    """Rows by recording of a recordings.csv, without a last line that a killed run left unfinished."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if set(row) == set(RECORDING_COLUMNS) and row["key"]]
    except (FileNotFoundError, UnicodeDecodeError, csv.Error):
        return {}
    return {row["recording"]: row for row in rows}


@contextmanager
def _journal(path: Path, known: dict[str, Row]) -> Iterator[Callable[[Row], object]]:
    """Yield a function that adds a row to recordings.csv at once."""
    _write_rows(path, known.values())
    with path.open("a", encoding="utf-8", newline="", buffering=1) as file:
        yield csv.DictWriter(file, RECORDING_COLUMNS, lineterminator="\n").writerow


def _write_rows(path: Path, rows: Iterable[Row]) -> None:
    with atomic(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, RECORDING_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _join_scores(output: Path, names: list[str]) -> None:
    with atomic(output / "scores.csv") as part, part.open("wb") as joined:
        joined.write((",".join(SCORE_COLUMNS) + "\n").encode())
        for name in names:
            with _result_files(output, name)[1].open("rb") as scores:
                shutil.copyfileobj(scores, joined)
