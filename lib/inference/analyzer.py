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
from typing import TYPE_CHECKING, TextIO

import numpy as np

from lib.audio.reader import probe
from lib.config import Audio, Infer, Settings, get_config, read_seconds
from lib.console import progress_of_sound, say
from lib.digests import digest_code, digest_known_file, digest_of
from lib.errors import AudioError, EarshotError, Problem, SettingsError
from lib.files import atomic, printable
from lib.inference.exclusions import read_exclusions
from lib.inference.inputs import recordings_of
from lib.inference.label_formats import LABEL_FORMATS, make_scheme
from lib.inference.labels import Label, find_hits
from lib.inference.manifest import SCORED_BY, manifest_key, model_manifest
from lib.inference.output import Output, Row, journal, pending, read_rows, write_rows
from lib.inference.scaling import min_scores
from lib.inference.sorting import in_order
from lib.inference.streams import Batch, hop_of, stream_windows
from lib.models.description import read_description
from lib.models.files import model_files
from lib.occurrence.filter import OccurrenceFilter, Reason, occurrence_filter
from lib.parallel import map_streams, n_workers

if TYPE_CHECKING:
    from lib.inference.predictor import Predictor

CODE = (
    *SCORED_BY,
    *(f"inference/{name}.py" for name in ("analyzer", "findings", "frames", "labels", "output", "sorting", "streams")),
)
"""What a recording's labels are made by: a change there makes them anew."""
FILES_CODE = ("inference/label_formats.py", "inference/output.py")
"""What label files are made by."""

Advance = Callable[[float, float], object]
AddRow = Callable[[Row], object]


@dataclass
class _Task:
    """A recording on its way through the analysis; the thread that reads it fills in what it learns."""

    name: str
    path: Path
    known: Row | None  # its row of an earlier run, if there was one
    key: str = ""
    is_known: bool = False  # what was found stands in the output folder
    seconds: float = 0.0  # as its header says (0: it does not); once it was heard, its duration
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Job:
    """What is the same for all recordings of a run. hop: s, from one window to the next. offsets: those of settings
    that there are models for. left_out: by class, whether it is excluded. key, files: digests of all of it that labels,
    and label files, depend on.
    """

    settings: Infer
    output: Output
    names: list[str]
    min_scores: np.ndarray
    hop: float
    offsets: list[float] | None
    left_out: np.ndarray
    occurrences: OccurrenceFilter | None
    key: str
    files: str


def analyze(
    recordings: dict[str, Path],
    model: str | Path,
    settings: Settings,
    output: Path,
    occurrences: OccurrenceFilter | None = None,
    keep_others: bool = False,
) -> tuple[list[Row], int, list[Problem]]:
    """Analyze recordings (name -> file) with a model (a checkpoint, or a folder of them) into the output folder.

    settings: `infer` is used, and train.sed_fps as Predictor uses it. occurrences: lowers or drops classes by place and
    season. keep_others: keep results in the folder of recordings that are not among these; else they are removed.
    Returns the rows of these recordings in recordings.csv, the number of them that were not known already, and a
    Problem for each that cannot be read or is odd. Raises EarshotError if the model cannot be used, or if the folder
    holds what must not be overwritten or mixed.
    """
    infer, files = settings.infer, model_files(model)
    descriptions = [read_description(file) for file in files]
    audio, classes, names = descriptions[0].audio, descriptions[0].classes, descriptions[0].class_names
    hop = hop_of(audio, infer.overlap)
    excluded, problems = read_exclusions(infer.exclude, classes)
    scheme = make_scheme(classes, infer.label_field, audio.min_freq, audio.max_freq)
    folder = Output(output, infer.formats, scheme, occurrences is not None)
    manifest = model_manifest(files, descriptions, settings)
    manifest |= {"occurrences": occurrences.digest if occurrences else None, "excluded": sorted(excluded)}
    manifest |= {"code": digest_code(*CODE)}
    job = _Job(
        infer,
        folder,
        names,
        min_scores(infer, descriptions),
        audio.spec_duration if infer.initial_offsets else hop,
        infer.initial_offsets and infer.initial_offsets[: len(files)],
        np.array([name in excluded for name in names]),
        occurrences,
        manifest_key(manifest),
        digest_of([infer.formats, infer.label_field, digest_code(*FILES_CODE)]),
    )
    output.mkdir(parents=True, exist_ok=True)
    known = read_rows(output / "recordings.csv")
    others = _others(folder, recordings, known) if keep_others else {}
    folder.check(recordings, known, others, manifest)
    tasks = [_Task(name, path, known.get(name)) for name, path in recordings.items()]

    # Reading starts here: the first recordings are decoded while torch, which takes seconds, is imported below.
    streams = map_streams(lambda task: _read(task, job, audio), tasks, n_workers(infer.workers))
    from lib.inference.predictor import Predictor
    from lib.models.device import leave_room_for_reading

    leave_room_for_reading()
    predictor = Predictor(model, infer.device, settings)
    rows, n_new = [], 0
    gone = {name: pending(name, row["path"]) for name, row in known.items() if name not in {**recordings, **others}}
    with (
        journal(output / "recordings.csv", (known | gone).values()) as add_row,
        progress_of_sound("infer", len(tasks)) as advance,
    ):
        for name in gone:
            folder.remove(name)
        for task, batches in streams:
            row, odd = _finish(task, batches, predictor, job, advance, add_row)
            rows.append(row)
            problems += odd
            n_new += not task.is_known
            if row != task.known:
                add_row(row)
        kept = [_with_label_files(row, Path(row["path"]), job, add_row) for row in others.values()]
    all_rows = sorted([*rows, *kept], key=lambda row: row["recording"])
    write_rows(output / "recordings.csv", all_rows)
    folder.join(all_rows, manifest)
    return rows, n_new, problems


def _others(folder: Output, recordings: dict[str, Path], known: dict[str, Row]) -> dict[str, Row]:
    """Rows of recordings that stay in the folder, though they are not among these.

    What was analyzed under another name, before there were two of that name, does not, nor what is not whole.
    """
    folder.check_names(recordings, known)
    paths = {printable(str(path)) for path in recordings.values()}
    rows = (row for name, row in known.items() if name not in recordings and row["path"] not in paths)
    return {row["recording"]: row for row in rows if folder.is_whole(row)}


def _read(task: _Task, job: _Job, audio: Audio) -> Iterator[Batch]:
    """A recording's windows; none if what was found in it stands in the output folder already."""
    settings, loudest = job.settings, 0.0
    try:
        place = [job.occurrences.key(task.name, task.path)] if job.occurrences else []
        task.key = digest_of([digest_known_file(task.path), job.key, *place])
    except OSError as error:
        raise AudioError(f"cannot be read ({error.strerror}); check the file and its permissions") from None
    if (known := task.known) and known["status"] == "ok" and known["key"] == task.key:
        task.is_known = job.output.is_whole(known)
    if task.is_known:
        return
    task.seconds = probe(task.path).seconds
    note, start = task.notes.append, settings.start_seconds
    for batch in stream_windows(task.path, audio, job.hop, settings.batch_size, start, job.offsets, note):
        loudest = max(loudest, float(batch.windows.spectrograms.max()))
        yield batch
    if start and task.seconds <= start:
        note(f"is over before infer.start_seconds ({start:g} s)")
    elif loudest == 0:
        note("is silent from start to end")


def _finish(
    task: _Task, batches: Iterator[Batch], predictor: "Predictor", job: _Job, advance: Advance, add_row: AddRow
) -> tuple[Row, list[Problem]]:
    """Bring a recording's results into the output folder; returns its row, and what is odd.

    A file is only touched once the row that tells of it, by add_row, says that it is not to be trusted: a run that is
    killed leaves no row with files of another run.
    """
    shown = printable(str(task.path))
    problems: list[Problem] = []
    try:
        first = next(batches, None)  # once it is here, the reading thread has looked at what is known
        if task.is_known and task.known:
            row = _with_label_files(task.known | {"path": shown}, task.path, job, add_row)
            advance(1, 0)
        else:
            add_row(pending(task.name, shown))
            factors, problems = _factors(task, job)
            batches = batches if first is None else chain([first], batches)
            labels = in_order(_hear(task, batches, predictor, factors, job, advance), job.names, job.output.folder)
            n = job.output.write_labels(task.name, labels)
            row = {"recording": task.name, "path": shown, "seconds": repr(task.seconds), "status": "ok", "files": ""}
            row |= {"reason": "; ".join(task.notes), "labels": str(n), "settings": job.key, "key": task.key}
            row = _with_label_files(row, task.path, job, add_row, bool(task.known))
    except AudioError as error:
        problem = error.problem(task.path)
        add_row(pending(task.name, shown))
        job.output.remove(task.name)
        row = pending(task.name, shown) | {"status": "failed", "reason": problem.reason, "labels": "0"}
        return row | {"settings": job.key, "key": task.key}, [problem]
    if row["reason"]:
        problems.append(Problem(shown, row["reason"], "check the file", lost=False))
    return row, problems


def _with_label_files(row: Row, path: Path, job: _Job, add_row: AddRow, known: bool = True) -> Row:
    """A row whose recording has the label files that are wanted, made of the labels that stand in the folder.

    known: whether label files of other formats were made here, too.
    """
    name, files = row["recording"], digest_of([job.files, printable(os.path.abspath(path))])
    if row["status"] != "ok" or (row["files"] == files and job.output.has_label_files(name)):
        return row
    if row["files"]:
        add_row(row | {"files": ""})
    job.output.write_label_files(name, path, float(row["seconds"]), known)
    return row | {"files": files}


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


def _hear(
    task: _Task, batches: Iterable[Batch], predictor: "Predictor", factors: np.ndarray, job: _Job, advance: Advance
) -> Iterator[list[Label]]:
    """Write a recording's scores, batch by batch; yields the labels that are final by then, as they are kept."""
    from lib.inference.findings import findings

    start = job.settings.start_seconds
    found = findings(predictor, factors, job.min_scores, job.settings, start)
    share, seconds = 0.0, task.seconds if task.seconds <= start else 0.0
    with atomic(job.output.scores(task.name)) as part, part.open("w", encoding="utf-8", newline="") as file:
        add_scores = _score_writer(task.name, file, job, predictor.description.audio.spec_duration)
        for batch in batches:
            scores, labels = found.add(batch)
            add_scores(*scores)
            yield list(map(_settled, labels))
            before, seconds = seconds, max(seconds, batch.windows.seconds)
            more = min(seconds / task.seconds, 1) - share if task.seconds else 0
            advance(more, seconds - max(before, start))
            share += more
        scores, labels = found.finish(seconds)
        add_scores(*scores)
        yield list(map(_settled, labels))
    task.seconds = seconds
    advance(1 - share, 0)


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

    model: a checkpoint, or a folder of them. cfg: settings as analyze() uses them; None: get_config(). occurrences:
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

        rtype: audacity, csv (labels.csv), both, or any of the names of LABEL_FORMATS, with commas between; scores.csv,
        the scores of all windows, is always written. start_seconds: where to start in each recording, seconds or m:ss,
        whatever infer.start_seconds says; 0: at its start. show: print the scores of the first recording's first
        window, and stop. Returns a Problem for each recording that cannot be read or is odd. Raises EarshotError if
        nothing can be analyzed.
        """
        changes = {"formats": _formats(rtype), "start_seconds": read_seconds("start_seconds", start_seconds)}
        settings = self.cfg.model_copy(update={"infer": self.cfg.infer.model_copy(update=changes).checked()})
        recordings, problems = recordings_of(input_path)
        if show:
            self._show(next(iter(recordings.values())), settings)
            return problems
        place = occurrence_filter(settings.infer, self.occurrences)
        rows, _, odd = analyze(recordings, self.model, settings, Path(output_path), place, keep_others=True)
        if not any(row["status"] == "ok" for row in rows):
            reasons = "; ".join(sorted({row["reason"] for row in rows}))
            raise EarshotError(f"{input_path}: no recording could be analyzed ({reasons})")
        return [*problems, *odd]

    def _show(self, recording: Path, settings: Settings) -> None:
        from lib.inference.predictor import Predictor

        predictor, start = Predictor(self.model, settings.infer.device, settings), settings.infer.start_seconds
        audio = predictor.description.audio
        first = next(stream_windows(recording, audio, hop_of(audio, settings.infer.overlap), 1, start), None)
        if first is None:
            raise EarshotError(f"{recording}: is over before {start:g} s; start earlier")
        say(f"{recording}, from {start:g} s:")
        predictor.show_scores(*predictor.get_block_scores(first.windows.spectrograms, [0.0]))


def _formats(rtype: str) -> list[str]:
    """The label formats that a type of results means."""
    names = [name.strip() for name in rtype.replace("both", "audacity, csv").split(",")]
    for name in names:
        if name not in LABEL_FORMATS:
            raise SettingsError(f"rtype = {name!r}: must be both, or some of {', '.join(LABEL_FORMATS)}")
    return names
