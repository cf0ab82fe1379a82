"""Many recordings in, label files out, incrementally.

A recording's row in recordings.csv has a key made from its content, the models and the settings: a run that was killed
goes on where it stopped, and of recordings that are known already only the bytes are read, to see that they are the
same. Other label files of known recordings are made from the labels that stand there, without listening again. What is
in the output folder is lib.inference.output's to tell.
"""

import csv
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from lib.audio.reader import probe
from lib.config import Audio, Infer, Settings, get_config, seconds_of
from lib.console import progress_of_sound, say
from lib.digests import digest_code, digest_known_file, digest_of
from lib.errors import AudioError, EarshotError, Problem, SettingsError
from lib.files import atomic, printable, write_text
from lib.inference.exclusions import read_exclusions
from lib.inference.inputs import recordings_of
from lib.inference.label_formats import LABEL_FORMATS, Labelled, make_scheme
from lib.inference.labels import Label, find_hits
from lib.inference.manifest import manifest_text, model_manifest
from lib.inference.output import Output, Row, journal, read_rows, write_rows
from lib.inference.scaling import min_scores
from lib.inference.streams import Batch, stream_windows
from lib.models.description import read_description
from lib.models.files import model_files
from lib.occurrence.filter import OccurrenceFilter, Reason, occurrence_filter
from lib.parallel import map_streams, n_workers

if TYPE_CHECKING:
    from lib.inference.predictor import Predictor

CODE = (
    *(f"audio/{name}.py" for name in ("reader", "spectrogram", "windows")),
    *(f"inference/{name}.py" for name in ("analyzer", "findings", "frames", "labels", "networks")),
    *(f"inference/{name}.py" for name in ("output", "predictor", "scaling", "streams")),
    *(f"models/{name}.py" for name in ("backbones", "heads", "recognizer")),
)
"""What a recording's labels are made by: a change there makes them anew."""
FILES_CODE = ("inference/label_formats.py", "inference/output.py")
"""What label files are made by."""
ABOUT_FILES = {"formats", "label_field"}
"""Settings that only the label files depend on."""

Advance = Callable[[float, float], object]


@dataclass
class _Task:
    """A recording on its way through the analysis; the thread that reads it fills in what it learns."""

    name: str
    path: Path
    known: Row  # its row of an earlier run, if there was one
    key: str = ""
    is_known: bool = False  # what was found stands in the output folder
    seconds: float = 0.0  # as its header says; 0: it does not
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Job:
    """What is the same for all recordings of a run. offsets: those of settings that there are models for. left_out: by
    class, whether it is excluded. key, files: digests of all of it that labels, and label files, depend on.
    """

    settings: Infer
    output: Output
    names: list[str]
    min_scores: np.ndarray
    offsets: list[float] | None
    left_out: np.ndarray
    occurrences: OccurrenceFilter | None
    key: str
    files: str


def analyze(
    recordings: dict[str, Path],
    model: str | Path,
    settings: Infer,
    output: Path,
    occurrences: OccurrenceFilter | None = None,
    keep_others: bool = False,
) -> tuple[list[Row], int, list[Problem]]:
    """Analyze recordings (name -> file) with a model (a checkpoint, or a folder of them) into the output folder.

    occurrences: lowers or drops classes by place and season. keep_others: keep results in the folder of recordings that
    are not among these; else they are removed. Returns the rows of these recordings in recordings.csv, the number of
    them that were not known already, and a Problem for each that cannot be read or is odd. Raises EarshotError if the
    model cannot be used, or if the folder holds what must not be overwritten or mixed.
    """
    files = model_files(model)
    descriptions = [read_description(file) for file in files]
    audio, classes = descriptions[0].audio, descriptions[0].classes
    if settings.overlap >= audio.spec_duration:
        limit = f"must be below the model's spec_duration ({audio.spec_duration:g} s)"
        raise EarshotError(f"infer.overlap = {settings.overlap:g}: {limit}")
    excluded, problems = read_exclusions(settings.exclude, classes)
    scheme = make_scheme(classes, settings.label_field, audio.min_freq, audio.max_freq)
    folder = Output(output, settings.formats, scheme, occurrences is not None)
    manifest = model_manifest(files, descriptions, settings)
    manifest |= {"occurrences": occurrences.digest if occurrences else None, "excluded": sorted(excluded)}
    manifest |= {"code": digest_code(*CODE)}
    names = descriptions[0].class_names
    job = _Job(
        settings,
        folder,
        names,
        min_scores(settings, descriptions),
        settings.initial_offsets and settings.initial_offsets[: len(files)],
        np.array([name in excluded for name in names]),
        occurrences,
        digest_of(manifest | {"infer": settings.model_dump(exclude=ABOUT_FILES | {"workers", "strict", "device"})}),
        digest_of([settings.formats, settings.label_field, digest_code(*FILES_CODE)]),
    )
    output.mkdir(parents=True, exist_ok=True)
    known = read_rows(output / "recordings.csv")
    others = _others(folder, recordings, known, keep_others)
    folder.check(recordings, known, others, manifest)
    tasks = [_Task(name, path, known.get(name, {})) for name, path in recordings.items()]

    # Reading starts here: the first recordings are decoded while torch, which takes seconds, is imported below.
    streams = map_streams(lambda task: _read(task, job, audio), tasks, n_workers(settings.workers))
    from lib.inference.predictor import Predictor
    from lib.models.device import leave_room_for_reading

    leave_room_for_reading()
    predictor = Predictor(model, settings.device, Settings().model_copy(update={"infer": settings}))
    rows, n_new = [], 0
    with journal(output / "recordings.csv", known) as add_row, progress_of_sound("infer", len(tasks)) as advance:
        for task, batches in streams:
            row, odd = _finish(task, batches, predictor, job, advance)
            rows.append(row)
            problems += odd
            n_new += not task.is_known
            if row != task.known:
                add_row(row)
    all_rows = sorted([*rows, *others.values()], key=lambda row: row["recording"])
    write_rows(output / "recordings.csv", all_rows)
    folder.join(all_rows)
    write_text(output / "manifest.yaml", manifest_text(manifest))
    return rows, n_new, problems


def _others(folder: Output, recordings: dict[str, Path], known: dict[str, Row], keep: bool) -> dict[str, Row]:
    """Rows of recordings that stay in the folder, though they are not among these; the rest is removed.

    What was analyzed under another name, before there were two of that name, goes in any case.
    """
    if keep:
        folder.check_names(recordings, known)
    paths = {printable(str(path)) for path in recordings.values()}
    others = {name: row for name, row in known.items() if name not in recordings}
    for name, row in list(others.items()):
        if not keep or row["path"] in paths:
            folder.remove(name)
            del others[name]
    return others


def _read(task: _Task, job: _Job, audio: Audio) -> Iterator[Batch]:
    """A recording's windows; none if what was found in it stands in the output folder already."""
    settings, loudest = job.settings, 0.0
    try:
        place = [job.occurrences.key(task.name, task.path)] if job.occurrences else []
        task.key = digest_of([digest_known_file(task.path), job.key, *place])
    except OSError as error:
        raise AudioError(f"cannot be read ({error.strerror}); check the file and its permissions") from None
    found = job.output.found(task.name)
    task.is_known = task.known.get("key") == task.key and all(path.is_file() for path in found)
    if task.is_known:
        return
    task.seconds = probe(task.path).seconds
    hop = audio.spec_duration if job.offsets else audio.spec_duration - settings.overlap
    note = task.notes.append
    for batch in stream_windows(task.path, audio, hop, settings.batch_size, settings.start_seconds, job.offsets, note):
        loudest = max(loudest, float(batch.windows.spectrograms.max()))
        yield batch
    if settings.start_seconds and task.seconds <= settings.start_seconds:
        note(f"is over before infer.start_seconds ({settings.start_seconds:g} s)")
    elif loudest == 0:
        note("is silent from start to end")


def _finish(
    task: _Task, batches: Iterator[Batch], predictor: "Predictor", job: _Job, advance: Advance
) -> tuple[Row, list[Problem]]:
    """Bring a recording's results into the output folder; returns its row, and what is odd."""
    shown = printable(str(task.path))
    files = digest_of([job.files, os.path.abspath(task.path)])
    problems: list[Problem] = []
    try:
        first = next(batches, None)  # once it is here, the reading thread has looked at what is known
        if task.is_known:
            row = task.known | {"path": shown, "files": files}
            if task.known["files"] != files or not job.output.has_label_files(task.name):
                labels = job.output.read_labels(task.name)
                job.output.write_label_files(Labelled(task.name, task.path, float(row["seconds"]), labels), True)
            advance(1, 0)
        else:
            factors, problems = _factors(task, job)
            batches = batches if first is None else chain([first], batches)
            seconds, labels = _write_found(task, batches, predictor, factors, job, advance)
            job.output.write_label_files(Labelled(task.name, task.path, seconds, labels), bool(task.known))
            row = {"recording": task.name, "path": shown, "seconds": repr(seconds), "status": "ok"}
            row |= {"reason": "; ".join(task.notes), "labels": str(len(labels)), "files": files, "key": task.key}
    except AudioError as error:
        reason, _, action = str(error).rpartition("; ")
        job.output.remove(task.name)
        row = {"recording": task.name, "path": shown, "seconds": "", "status": "failed", "reason": reason}
        return row | {"labels": "0", "files": files, "key": task.key}, [Problem(shown, reason, action)]
    if row["reason"]:
        problems.append(Problem(shown, row["reason"], "check the file", lost=False))
    return row, problems


def _factors(task: _Task, job: _Job) -> tuple[np.ndarray, list[Problem]]:
    """What the scores of each class are multiplied by in a recording, float32 (n_classes,); the reasons are written."""
    factors = np.ones(len(job.names), np.float32)
    problems: list[Problem] = []
    if job.occurrences:
        factors, reasons, problems = job.occurrences.factors(job.names, task.name, task.path)
        _write_reasons(job.output.reasons(task.name), reasons)
    else:
        job.output.reasons(task.name).unlink(missing_ok=True)
    return np.where(job.left_out, np.float32(0), factors), problems


def _write_reasons(path: Path, reasons: list[Reason]) -> None:
    with atomic(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for reason in reasons:
            value = "" if reason.value is None else f"{reason.value:.6g}"
            writer.writerow(reason._replace(value=value))  # type: ignore[arg-type]


def _write_found(
    task: _Task, batches: Iterable[Batch], predictor: "Predictor", factors: np.ndarray, job: _Job, advance: Advance
) -> tuple[float, list[Label]]:
    """Write a recording's scores, batch by batch, and its labels; returns its duration (s) and the labels."""
    from lib.inference.findings import findings

    output, start = job.output, job.settings.start_seconds
    output.labels(task.name).unlink(missing_ok=True)  # both or none: of a run that is killed, no half is taken up
    found = findings(predictor, factors, job.min_scores, job.settings, start)
    share, seconds = 0.0, task.seconds if task.seconds <= start else 0.0
    with atomic(output.scores(task.name)) as part, part.open("w", encoding="utf-8", newline="") as file:
        add_scores = _score_writer(task.name, file, job, predictor.description.audio.spec_duration)
        for batch in batches:
            add_scores(*found.add(batch))
            before, seconds = seconds, max(seconds, batch.windows.seconds)
            more = min(seconds / task.seconds, 1) - share if task.seconds else 0
            advance(more, seconds - max(before, start))
            share += more
        scores, labels = found.finish(seconds)
        add_scores(*scores)
    advance(1 - share, 0)
    labels = [_settled(label) for label in labels]
    output.write_labels(task.name, labels)
    return seconds, labels


def _score_writer(name: str, file: TextIO, job: _Job, length: float) -> "Callable[[np.ndarray, np.ndarray], None]":
    """A function that writes the scores of windows that are high enough for scores.csv."""
    writer = csv.writer(file, lineterminator="\n")

    def write(starts: np.ndarray, scores: np.ndarray) -> None:
        kept = find_hits(starts, scores, job.settings.csv_min_score)
        writer.writerows(
            (name, job.names[column], f"{start:.3f}", f"{start + length:.3f}", f"{value:.6g}")
            for start, column, value in zip(*kept, strict=True)
        )

    return write


def _settled(label: Label) -> Label:
    """A label rounded as it is kept, so that files made now and files made of what is kept are the same."""
    return Label(label.name, round(label.start_time, 3), round(label.end_time, 3), float(f"{label.score:.6g}"))


class Analyzer:
    """Finds sounds in recordings and writes label files.

    model: a checkpoint, or a folder of them. cfg: settings, of which `infer` is used; None: get_config(). occurrences:
    the occurrence pickle that is used where the settings name a place.
    """

    def __init__(
        self,
        model: str | Path = "data/models",
        cfg: Settings | None = None,
        occurrences: str | Path = "data/occurrences.pkl",
    ) -> None:
        self.model = model
        self.cfg = cfg or get_config()
        self.occurrences = occurrences

    def run(
        self,
        input_path: str | Path,
        output_path: str | Path,
        rtype: str = "audacity",
        start_seconds: float | str = 0,
        show: bool = False,
    ) -> list[Problem]:
        """Find the sounds in a recording, or in those of a folder, and write label files into the output folder.

        rtype: audacity, csv (scores.csv, which is always written), both of them, or any of the names of LABEL_FORMATS,
        with commas between. start_seconds: where to start in each recording, seconds or m:ss; 0: as infer.start_seconds
        says. show: print the scores of the first recording's first window, and stop. Returns a Problem for each
        recording that cannot be read or is odd. Raises EarshotError if nothing can be analyzed.
        """
        changes: dict[str, Any] = {"formats": _formats(rtype)}
        if start_seconds:
            changes["start_seconds"] = _seconds(start_seconds)
        infer = self.cfg.infer.model_copy(update=changes).checked()
        recordings, problems = recordings_of(input_path)
        if show:
            self._show(next(iter(recordings.values())), infer)
            return problems
        occurrences = occurrence_filter(infer, self.occurrences)
        rows, _, odd = analyze(recordings, self.model, infer, Path(output_path), occurrences, keep_others=True)
        if not any(row["status"] == "ok" for row in rows):
            reasons = "; ".join(sorted({row["reason"] for row in rows}))
            raise EarshotError(f"{input_path}: no recording could be analyzed ({reasons})")
        return [*problems, *odd]

    def _show(self, recording: Path, infer: Infer) -> None:
        from lib.inference.predictor import Predictor, hop_of

        predictor = Predictor(self.model, infer.device, self.cfg.model_copy(update={"infer": infer}))
        audio, hop = predictor.description.audio, hop_of(predictor.cfg)
        first = next(stream_windows(recording, audio, hop, 1, infer.start_seconds), None)
        if first is None:
            raise EarshotError(f"{recording}: is over before {infer.start_seconds:g} s; start earlier")
        say(f"{recording}, from {infer.start_seconds:g} s:")
        predictor.show_scores(predictor.score_windows(first.windows.spectrograms)[0], None)


def _seconds(value: float | str) -> float:
    try:
        return float(seconds_of(value))
    except ValueError as error:
        raise SettingsError(f"start_seconds = {value!r}: {error}") from None


def _formats(rtype: str) -> list[str]:
    """The label formats that a type of results means."""
    names = [part.strip() for part in rtype.split(",") if part.strip()]
    names = [name for part in names for name in (["audacity", "csv"] if part == "both" else [part])]
    for name in names:
        if name not in (*LABEL_FORMATS, "csv"):
            raise SettingsError(f"rtype = {name!r}: must be csv, both, or some of {', '.join(LABEL_FORMATS)}")
    return [name for name in dict.fromkeys(names) if name != "csv"]
