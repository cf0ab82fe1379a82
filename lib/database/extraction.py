"""From labelled recordings to the training database, incrementally.

Each recording carries a key, a digest of its content, its annotations and the settings; one whose key stands in the
database already costs nothing but reading the file once. Recordings are cut in threads and written by the caller's
thread in the order of their names, a transaction every few recordings, so the file does not depend on the number of
workers and a killed run goes on where it stopped.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sqlalchemy import Connection, Select, Table, delete, func, insert, select, text, update
from sqlalchemy.exc import DatabaseError

from lib.audio import reader
from lib.audio.spectrogram import recording_windows
from lib.config import Audio, Extract
from lib.console import progress
from lib.database import schema
from lib.database.codec import encode
from lib.database.files import WRITING
from lib.datasets.contents import Contents
from lib.digests import digest_code, digest_known_file, digest_of
from lib.errors import AudioError, EarshotError, Problem
from lib.files import printable
from lib.parallel import map_streams, n_workers

CODE = (
    *("audio/reader.py", "audio/spectrogram.py", "audio/windows.py"),
    *("database/codec.py", "database/extraction.py", "database/schema.py"),
)
"""What a recording's rows are made by: a change there makes them anew."""
WINDOWS_AT_ONCE = 64
RECORDINGS_A_COMMIT = 16
BYTES_A_COMMIT = 64 * 2**20
END_TOLERANCE = 0.1
"""Seconds by which an annotation may outlast its recording before it is worth a word."""

SHORT = 0.1
"""Part of a window below which the length of a recording is worth a word."""


class Window(NamedTuple):
    """A window to store: start (s), names of the classes that sound in it, encoded spectrogram."""

    offset: float
    classes: tuple[str, ...]
    value: bytes


@dataclass
class Report:
    """What the database holds after an extraction; `failed` and `warnings` tell what it lacks.

    Recordings that were inserted by hand count too. In the digest they are by path, offsets, classes and sizes of their
    spectrograms, the others by the content of their rows.
    """

    recordings: int = 0
    windows: int = 0
    background_windows: int = 0
    windows_per_class: dict[str, int] = field(default_factory=dict)
    failed: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    digest: str = ""


@dataclass
class _Task:
    """One recording on its way into the database; the thread that reads it fills in what it learns."""

    name: str
    path: Path
    place: str  # its path within the data set
    events: np.ndarray  # (n, 2) start and end times, s
    classes: list[str]  # class of each event
    known: tuple[str | None, str] = (None, "[]")  # key and problems that stand in the database
    key: str = ""
    seconds: float = 0.0
    problems: list[Problem] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Keep a problem that did not keep the recording from being used."""
        self.problems.append(Problem(printable(str(self.path)), text, "check the file", lost=False))


def extract(
    contents: Contents, audio: Audio, settings: Extract, database: str | Path
) -> tuple[Report, int, list[Problem]]:
    """Bring the training database to what the data set and the settings say.

    Returns the report, the number of recordings that were new or changed, and a Problem for each recording or
    annotation that could not be used whole. Raises EarshotError if no window could be made, and with
    settings.strict if anything had to be left out.
    """
    problems = list(contents.problems)
    tasks = _tasks(contents, problems)
    try:
        with schema.connect(database, create=True).connect() as connection:
            known = _known(connection)
            for task in tasks:
                task.known = known.get(task.name, task.known)
            _forget(connection, sorted(set(known) - {task.name for task in tasks}))
            ids = _prepare(connection, contents.classes, audio, database)
            connection.commit()
            report, extracted = _store_all(connection, tasks, ids, audio, settings)
            _summarize(connection, report)
            connection.commit()
            _shrink(connection)
    except DatabaseError as error:
        raise EarshotError(f"{database}: cannot be written ({error.orig}); {WRITING}") from None
    problems += [problem for task in tasks for problem in task.problems]
    report.warnings = [str(problem) for problem in problems]
    if settings.strict and (lost := [str(problem) for problem in problems if problem.lost]):
        raise EarshotError("\n".join([*lost, "stopped because extract.strict is set"]))
    if not report.windows:
        raise EarshotError(
            "\n".join([*report.warnings, f"{database}: no window could be extracted; see the lines above"])
        )
    return report, extracted, problems


def _store_all(
    connection: Connection, tasks: list[_Task], ids: "_Ids", audio: Audio, settings: Extract
) -> tuple[Report, int]:
    """Write all recordings; returns a report of those that failed, and the number that were new or changed."""
    report, extracted = Report(), 0
    waiting_recordings = waiting_bytes = 0
    chosen = settings.model_dump(include={"overlap", "min_seconds", "background"})
    fixed = digest_of([digest_code(*CODE), audio.model_dump(), chosen])
    streams = map_streams(lambda task: _windows(task, audio, settings, fixed), tasks, n_workers(settings.workers))
    for task, windows in progress(streams, "extract", total=len(tasks)):
        try:
            size = _store(connection, task, windows, ids)
        except AudioError as error:
            _forget(connection, [task.name])
            problem = error.problem(task.path)
            task.problems.append(problem)
            report.failed.append({"recording": task.name, "reason": problem.reason})
            continue
        if size is None:
            continue
        extracted += 1
        waiting_recordings, waiting_bytes = waiting_recordings + 1, waiting_bytes + size
        if waiting_recordings >= RECORDINGS_A_COMMIT or waiting_bytes >= BYTES_A_COMMIT:
            connection.commit()
            waiting_recordings = waiting_bytes = 0
    return report, extracted


def label_windows(
    starts: np.ndarray, length: float, events: np.ndarray, min_seconds: float
) -> tuple[np.ndarray, np.ndarray]:
    """Which events a window is labelled with, and which windows hold none at all.

    starts: (n_windows,) s; length: of a window, s; events: (n_events, 2) start and end times, s. A window gets an
    event's label when at least min_seconds of it, or all of a shorter one, lie inside. Returns bool
    (n_windows, n_events) and bool (n_windows,), true where no part of any event lies inside.
    """
    inside = np.minimum(starts[:, None] + length, events[:, 1]) - np.maximum(starts[:, None], events[:, 0])
    needed = np.minimum(min_seconds, events[:, 1] - events[:, 0])
    sounding = inside > 0
    return sounding & (inside >= needed - 1e-9), ~sounding.any(axis=1)


def _tasks(contents: Contents, problems: list[Problem]) -> list[_Task]:
    events = dict(iter(contents.annotations.groupby("recording", sort=False)))
    tasks = []
    for name, path in contents.recordings.items():
        rows: pd.DataFrame | None = events.get(name)
        if rows is None:
            action = "annotate it; only annotated recordings are used for training"
            problems.append(Problem(printable(str(path)), "has no annotations that can be used", action))
            continue
        times = rows[["start_time", "end_time"]].to_numpy()
        place = printable(str(path.relative_to(contents.folder)))
        tasks.append(_Task(name, path, place, times, list(rows["class"])))
    return tasks


def _windows(task: _Task, audio: Audio, settings: Extract, fixed: str) -> Iterator[list[Window]]:
    """The windows of a recording, a list at a time; nothing if the database holds them already."""
    try:
        content = digest_known_file(task.path)
    except OSError as error:
        raise AudioError(f"cannot be read ({error.strerror}); check the file and its permissions") from None
    task.key = digest_of([content, task.place, task.events.tolist(), task.classes, fixed])
    known_key, known_problems = task.known
    if task.key == known_key:
        task.problems = [Problem(*fields) for fields in json.loads(known_problems)]
        return
    events = np.minimum(task.events, reader.probe(task.path).seconds or np.inf)
    classes = np.array(task.classes)
    loudest = 0.0
    background_due = int(content[:8], 16) / 2**32  # not 0, or short recordings would never have their share
    hop = audio.spec_duration - settings.overlap
    for starts, spectrograms, seconds in recording_windows(task.path, audio, hop, WINDOWS_AT_ONCE, note=task.note):
        labelled, background = label_windows(starts, audio.spec_duration, events, settings.min_seconds)
        chosen = []
        for start, sounding, is_background, spectrogram in zip(starts, labelled, background, spectrograms, strict=True):
            if is_background:
                background_due += settings.background
                is_background = background_due >= 1
                background_due -= is_background
            if is_background or sounding.any():
                chosen.append(Window(float(start), tuple(sorted(set(classes[sounding]))), encode(spectrogram)))
        loudest = max(loudest, float(spectrograms.max()))
        task.seconds = seconds
        yield chosen
    if loudest == 0:
        task.note("is silent from start to end")
    if task.seconds < SHORT * audio.spec_duration:
        task.note(f"lasts {task.seconds:.2g} s only, less than a tenth of a window")
    _note_events_outside(task)


def _note_events_outside(task: _Task) -> None:
    """Make a problem of each event that the recording ends before, or within."""
    for (start, end), label in zip(task.events, task.classes, strict=True):
        where = f"the annotation of {label} at {start:g} to {end:g} s"
        if start >= task.seconds:
            reason = f"{where} lies behind the end ({task.seconds:.2f} s)"
            task.problems.append(Problem(printable(str(task.path)), reason, "correct its times"))
        elif task.seconds + END_TOLERANCE < end < np.inf:
            task.note(f"{where} ends behind the end ({task.seconds:.2f} s) and was cut there")


def _store(connection: Connection, task: _Task, chunks: Iterable[list[Window]], ids: "_Ids") -> int | None:
    """Write a recording's windows in place of what stood there; returns the bytes written, None if nothing changed."""
    recording_id = None
    digest, size = hashlib.blake2b(digest_size=16), 0
    for windows in chunks:
        if recording_id is None:
            _forget(connection, [task.name])
            values = {"SourceID": ids.source, "FileName": printable(task.path.name), "Path": task.place}
            values |= {"Name": task.name, "Seconds": 0.0, "Key": ""}
            recording_id = connection.execute(insert(schema.recording), values).lastrowid
        first = (connection.execute(select(func.max(schema.segment.c.ID))).scalar() or 0) + 1
        segments, labels, spectrograms = [], [], []
        for segment_id, window in enumerate(windows, first):
            segments.append({"ID": segment_id, "RecordingID": recording_id, "Offset": window.offset})
            labels += [{"SegmentID": segment_id, "ClassID": ids.classes[name]} for name in window.classes]
            spectrograms.append({"SegmentID": segment_id, "SpecGroupID": ids.spec_group, "Value": window.value})
            digest.update(repr((window.offset, window.classes, len(window.value))).encode() + window.value)
            size += len(window.value)
        for table, rows in (
            (schema.segment, segments),
            (schema.segment_class, labels),
            (schema.spec_value, spectrograms),
        ):
            if rows:
                connection.execute(insert(table), rows)
    if recording_id is None:
        return None
    done = {"Seconds": task.seconds, "Key": task.key, "Digest": digest.hexdigest()}
    done["Problems"] = json.dumps(task.problems)
    connection.execute(update(schema.recording).filter_by(ID=recording_id).values(done))
    return size


class _Ids(NamedTuple):
    """IDs of the rows that all windows refer to."""

    source: int
    spec_group: int
    classes: dict[str, int]


def _prepare(connection: Connection, classes: pd.DataFrame, audio: Audio, database: str | Path) -> _Ids:
    """Make the rows that all windows refer to what the data set and the settings say.

    Classes that sound in recordings inserted by hand stay. Raises EarshotError if such recordings have spectrograms of
    other settings in the group.
    """
    settings = schema.settings_text(audio)
    if n := connection.execute(_other_by_hand(settings)).scalar():
        action = f"run it with --spec_group {schema.DEFAULT} --replace to make them anew, or use another database"
        raise EarshotError(
            f"{database}: {n} spectrograms of recordings inserted by hand have other audio settings; {action}"
        )
    source = _id_of(connection, schema.source, schema.DEFAULT)
    group = _id_of(connection, schema.spec_group, schema.DEFAULT, Settings=settings)
    _id_of(connection, schema.category, schema.DEFAULT)
    labels, class_, category = schema.segment_class, schema.class_, schema.category
    by_hand = select(labels.c.ClassID).join_from(labels, schema.segment).join(schema.recording).filter_by(Key=None)
    gone = class_.c.Name.not_in(list(classes["name"])) & class_.c.ID.not_in(by_hand)
    connection.execute(delete(class_).where(gone))
    ids = {}
    for row in classes.itertuples():
        category_id = _id_of(connection, category, row.category or schema.DEFAULT)
        values = {"CategoryID": category_id, "AltName": row.alt_name, "Code": row.code, "AltCode": row.alt_code}
        ids[row.name] = _id_of(connection, class_, row.name, **values)
    unused = category.c.ID.not_in(select(class_.c.CategoryID)) & (category.c.Name != schema.DEFAULT)
    connection.execute(delete(category).where(unused))
    return _Ids(source, group, ids)


def _other_by_hand(settings: str) -> Select:
    """Count the spectrograms of recordings inserted by hand in the group, if it has other settings than these."""
    value, group = schema.spec_value, schema.spec_group.c
    count = select(func.count()).select_from(value).join(schema.segment).join(schema.recording)
    count = count.join(schema.spec_group, value.c.SpecGroupID == group.ID)
    return count.where(
        schema.recording.c.Key.is_(None), group.Name == schema.DEFAULT, group.Settings.is_distinct_from(settings)
    )


def _id_of(connection: Connection, table: Table, name: str, **values) -> int:
    """The ID of the row of that name, inserted if missing, with the other columns set to the values."""
    found = connection.execute(select(table).where(table.c.Name == name)).mappings().first()
    if found is None:
        return connection.execute(insert(table).values(Name=name, **values)).lastrowid
    if values.items() - found.items():  # SQLite counts a change even where an update sets what stands there
        connection.execute(update(table).where(found["ID"] == table.c.ID).values(values))
    return found["ID"]


def _known(connection: Connection) -> dict[str, tuple[str, str]]:
    """Key and problems of each recording that an extraction put into the database."""
    columns = schema.recording.c
    rows = connection.execute(select(columns.Name, columns.Key, columns.Problems).where(columns.Key.is_not(None)))
    return {row.Name: (row.Key, row.Problems) for row in rows}


def _forget(connection: Connection, names: list[str]) -> None:
    """Delete recordings with all that hangs on them, but not those that were inserted by hand."""
    columns = schema.recording.c
    for start in range(0, len(names), 500):
        chosen = columns.Name.in_(names[start : start + 500]) & columns.Key.is_not(None)
        connection.execute(delete(schema.recording).where(chosen))


def _summarize(connection: Connection, report: Report) -> None:
    count = select(func.count())
    report.recordings = connection.execute(count.select_from(schema.recording)).scalar_one()
    report.windows = connection.execute(count.select_from(schema.segment)).scalar_one()
    labelled = select(func.count(func.distinct(schema.segment_class.c.SegmentID)))
    report.background_windows = report.windows - connection.execute(labelled).scalar_one()
    per_class = (
        select(schema.class_.c.Name, func.count(schema.segment_class.c.ID))
        .join_from(schema.class_, schema.segment_class, isouter=True)
        .group_by(schema.class_.c.Name)
        .order_by(schema.class_.c.Name)
    )
    report.windows_per_class = {name: windows for name, windows in connection.execute(per_class)}
    recording, segment, value = schema.recording.c, schema.segment, schema.spec_value
    rows = select(recording.Name, recording.Digest).where(recording.Key.is_not(None)).order_by(recording.Name)
    class_ = schema.class_.c
    columns = class_.Name, class_.Code, class_.AltName, class_.AltCode, schema.category.c.Name
    classes = select(*columns).join(schema.category, class_.CategoryID == schema.category.c.ID).order_by(class_.Name)
    by_hand = select(recording.Path, segment.c.Offset, class_.Name, func.length(value.c.Value))
    by_hand = by_hand.join_from(schema.recording, segment).join(value, value.c.SegmentID == segment.c.ID)
    by_hand = by_hand.outerjoin(schema.segment_class, schema.segment_class.c.SegmentID == segment.c.ID)
    by_hand = by_hand.outerjoin(schema.class_).join(schema.spec_group, value.c.SpecGroupID == schema.spec_group.c.ID)
    by_hand = by_hand.where(recording.Key.is_(None), schema.spec_group.c.Name == schema.DEFAULT)
    queries = rows, classes, by_hand.order_by(recording.Path, segment.c.Offset, class_.Name)
    report.digest = digest_of([[list(row) for row in connection.execute(query)] for query in queries])


def _shrink(connection: Connection) -> None:
    """Give back the space of deleted rows once it is a quarter of the file."""
    free, pages = (connection.execute(text(f"PRAGMA {name}")).scalar_one() for name in ("freelist_count", "page_count"))
    if free > pages // 4:
        connection.rollback()
        connection.connection.cursor().execute("VACUUM")
