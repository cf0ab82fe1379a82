"""From labelled recordings to the training database, incrementally.

Workers cut recordings into windows, which are written in the order of the recordings' names, whatever the number of
workers; see lib.core.incremental. A window is stored if an event is present in it, by the rule of lib.sound.grid, or as
background if no part of any event lies in it.
"""

import hashlib
import json
import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sqlalchemy import Connection, Select, Table, delete, func, insert, select, update

from lib.audio import reader
from lib.audio.reader import unusual
from lib.config.load import get_config
from lib.config.schema import AudioSettings, ExtractSettings, Settings
from lib.core.code_digest import digest_code
from lib.core.console import show_problems
from lib.core.databases import (
    fix_header,
    has_much_free,
    is_as_fixed,
    readable,
    renumber,
    usable,
    vacuum,
    whole_or_nothing,
)
from lib.core.digests import digest_of
from lib.core.errors import AudioError, EarshotError, Problem
from lib.core.files import printable
from lib.core.incremental import Item, Job, Outcome, Progress, Source, key_to_keep, run
from lib.core.locks import sole_writer
from lib.core.parallel import n_workers
from lib.core.wording import counted
from lib.formats.data_sets import DataSet, read_annotated, read_training_set
from lib.sound.grid import MIN_TAIL, expand_ranges, n_windows, windows_with_event
from lib.training_data import training_tables as tables
from lib.training_data.hand_picked import forget_copied, picked_contents, prefer_hand_picked
from lib.training_data.sound_codec import encode_sound
from lib.training_data.spectrogram_codec import encode
from lib.training_data.window_values import WindowValues, window_values

EXTRACTION_CODE = ("lib.training_data.extraction:read_windows", "lib.training_data.extraction:_WindowStore.write")
"""What computes the rows of a recording, by name."""
PACKED_ANYWAY = 2**28
"""Bytes of a training database below which it takes a second or two."""
END_TOLERANCE = 0.1
"""Seconds by which an annotation may outlast its recording before we warn."""
TOLERANCE = 1e-6
"""Seconds; decimal times are not exact in binary."""
SHORT = 0.1
"""Part of a window; we warn of recordings that are shorter."""


class ExtractedWindow(NamedTuple):
    """A window to store: start (s), names of the classes that are present in it, encoded spectrogram and sound."""

    offset: float
    classes: tuple[str, ...]
    value: bytes
    sound: bytes | None


class ExtractedWindows(NamedTuple):
    """Some windows of a recording, and the seconds that were read of it so far."""

    windows: list[ExtractedWindow]
    seconds: float


@dataclass
class ExtractionReport:
    """What the database holds after an extraction, including recordings that were inserted by hand."""

    recordings: int
    windows: int
    background_windows: int
    windows_per_class: dict[str, int]
    failed: list[dict[str, str]]  # name of each recording that cannot be read, and the reason
    warnings: list[str]  # all problems
    digest: str  # of the windows and classes


def extract(
    recordings: str | Path,
    annotations: str | Path | None = None,
    database: str | Path = "data/training.db",
    cfg: Settings | None = None,
) -> ExtractionReport:
    """Make a training database of labelled recordings, as the extract stage does, and print problems of the data.

    Args:
        recordings: a folder.
        annotations: CSV file of recording, class, start_time and end_time (s); None: the annotations are in the folder,
            in any of the formats that data.train.format names.
        database: SQLite file. It holds these recordings afterwards; those that it held already are not read again.
        cfg: settings, of which `audio`, `extract`, `data.train` (format and include), `data.decisions` and
            `data.reviewed` are used; None: get_config().

    Raises EarshotError as extract_windows does, and DataSetError if there is nothing to read.
    """
    cfg = (cfg or get_config()).checked()
    if annotations is None:
        train = cfg.data.train.model_copy(update={"path": str(recordings)})
        data_set = read_training_set(cfg.data.model_copy(update={"train": train}), cfg.extract.min_seconds)
    else:
        data_set = read_annotated(recordings, annotations)
    report, _, problems = extract_windows(data_set, cfg.audio, cfg.extract, database)
    show_problems(problems)
    return report


def extract_windows(
    data_set: DataSet, audio: AudioSettings, settings: ExtractSettings, database: str | Path, pack: bool = False
) -> tuple[ExtractionReport, int, list[Problem]]:
    """Bring the training database to what the data set and the settings say.

    pack: rewrite a changed file, so that its bytes follow from its content, whatever was done before;
    smaller ones than PACKED_ANYWAY always are.

    Returns the report, the number of recordings that were new or changed, and a Problem for each recording or
    annotation that could not be used completely. Raises EarshotError if there are no windows, if another process writes
    to the database, and with settings.strict if anything was left out.
    """
    database = Path(database)
    items, problems = _items(data_set)
    chosen = settings.model_dump(include={"overlap", "min_seconds", "background", "sound"})
    job: Job[ExtractedWindows] = Job(
        what="extract",
        read=lambda source: read_windows(source, audio, settings),
        settings=[audio.model_dump(), chosen],
        code=digest_code(*EXTRACTION_CODE),
        workers=n_workers(settings.workers),
    )
    with sole_writer(database), usable(database, tables.FILE):
        engine = tables.open_training_tables(database, create=True)
        with engine.connect() as connection:
            ids = _insert_shared_rows(connection, data_set.classes, audio, database)
            store = _WindowStore(database, connection, ids, audio)
            _delete_recordings(connection, sorted(store.keys().keys() - {item.name for item in items}))
            connection.commit()
            outcome = run(items, job, store)
            forget_copied(connection)
            _delete_other_classes(connection, list(data_set.classes["name"]))
            _mark(connection, ids.spec_group, None)
            connection.commit()
            problems = [*data_set.problems, *problems, *outcome.problems]
            report = _report(connection, outcome, problems)
            digest = digest_of([report.digest, store.keys()])
            pack = (pack or database.stat().st_size < PACKED_ANYWAY) and not is_as_fixed(database)
            if not pack and has_much_free(connection):
                vacuum(connection)
        engine.dispose()
        if pack:
            renumber(database, tables.FILE, tables.ORDER)
            fix_header(database, digest)
    if settings.strict and (lost := [problem for problem in problems if problem.lost]):
        raise EarshotError("", "stopped because extract.strict is set", causes=lost)
    if not report.windows:
        raise EarshotError(database, "no window could be extracted", "see the lines above", causes=report.warnings)
    return report, len(outcome.new), problems


def _items(data_set: DataSet) -> tuple[list[Item], list[Problem]]:
    """The recordings that were annotated or decided about, whose inputs are their place in the data set, times (s) and
    classes of their events, and what was decided besides.
    """
    events = dict(iter(data_set.annotations.groupby("recording", sort=False)))
    items, problems = [], []
    for name, path in data_set.recordings.items():
        rows: pd.DataFrame | None = events.get(name)
        judgement = data_set.judgements.get(name)
        if rows is None and judgement is None:
            remedy = "annotate it; only annotated recordings are used for training"
            problems.append(Problem(printable(str(path)), "has no annotations that can be used", remedy))
            continue
        times = [] if rows is None else rows[["start_time", "end_time"]].to_numpy().tolist()
        place = printable(os.path.relpath(path, data_set.folder))
        besides = [] if judgement is None else [judgement.rejected, judgement.judged]
        items.append(Item(name, path, [place, times, [] if rows is None else list(rows["class"]), *besides]))
    return items, problems


def read_windows(
    source: Source, audio: AudioSettings, settings: ExtractSettings
) -> Iterator[ExtractedWindows | Progress | Problem]:
    """The windows of a recording that are stored, how far it is read, and what is unusual about it.

    Background windows are taken evenly, in the proportion of settings.background. Where they begin follows from the
    content of the recording: short recordings would never contribute if all began alike. Those that lie
    where a class was rejected are all taken. Of a recording that is known only where it was judged, windows that lie
    there are taken and, if they have an event, those that hold a shorter stretch, or most of it. Raises AudioError.
    """
    path, (_, times, names, *besides) = source.item.path, source.item.inputs
    total = reader.probe(path).seconds
    length, hop = audio.spec_duration, audio.spec_duration - settings.overlap
    events, classes = np.reshape(np.array(times, np.float64), (-1, 2)), np.array(names)
    rejected, judged = besides or ([], None)
    problems: list[Problem] = []
    is_found = np.zeros(len(events), bool)
    seconds, loudest, background_due = 0.0, 0.0, int(source.content[:8], 16) / 2**32
    batches = window_values(path, audio, settings.sound, hop, problems.append)
    for starts, spectrograms, sounds, seconds in _hold_until_decided(batches, length, hop):
        present, is_empty = label_windows(starts, seconds, events, length, hop, settings.min_seconds)
        is_found |= present.any(axis=0)
        ends = np.minimum(starts + length, seconds)
        if judged is not None:
            is_known, _ = label_windows(starts, seconds, stretches_of(judged), length, hop, min_seconds=length)
            present = present & is_known.any(axis=1, keepdims=True)
            is_empty = is_empty & are_inside(starts, ends, judged)
        is_rejected = is_empty & are_inside(starts, ends, rejected)
        windows = []
        for start, events_here, is_background, is_certain, spectrogram, sound in zip(
            starts, present, is_empty, is_rejected, spectrograms, sounds, strict=True
        ):
            if is_background and not is_certain:
                background_due += settings.background
                is_background = background_due >= 1
                background_due -= is_background
            if is_background or events_here.any():
                names_here = tuple(sorted(set(classes[events_here])))
                stored_sound = None if sound is None else encode_sound(sound)
                windows.append(ExtractedWindow(float(start), names_here, encode(spectrogram), stored_sound))
        loudest = max(loudest, float(spectrograms.max()))
        yield ExtractedWindows(windows, seconds)
        yield Progress(seconds, total)
    if loudest == 0:
        problems.append(unusual(path, "is silent from start to end"))
    yield from problems
    yield from short_recording(path, seconds, length)
    yield from _events_outside(path, events, names, seconds, is_found)


def stretches_of(times: list) -> np.ndarray:
    """Start and end times, float64 (n, 2), s, sorted, of stretches that may touch or overlap, which become one."""
    merged: list[list[float]] = []
    for start, end in sorted(times):
        if merged and start <= merged[-1][1] + TOLERANCE:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    return np.reshape(np.array(merged, np.float64), (-1, 2))


def are_inside(starts: np.ndarray, ends: np.ndarray, times: list) -> np.ndarray:
    """Which windows, given by their starts and ends (n,), lie completely in one of the stretches, bool (n,).

    >>> are_inside(np.array([0.0, 1.5, 3.0]), np.array([3.0, 4.5, 6.0]), [(0, 3), (3, 5)])
    array([ True,  True, False])
    """
    begin, end = np.vstack([[-np.inf, -np.inf], stretches_of(times)]).T
    nearest = np.searchsorted(begin, starts + TOLERANCE, side="right") - 1
    return end[nearest] >= ends - TOLERANCE


def short_recording(path: Path, seconds: float, length: float) -> Iterator[Problem]:
    """A Problem if a recording is much shorter than a window of `length` s."""
    if seconds < SHORT * length:
        yield unusual(path, f"lasts only {seconds:.2g} s, less than a tenth of a window")


def _hold_until_decided(batches: Iterable[WindowValues], length: float, hop: float) -> Iterator[WindowValues]:
    """Hold windows of a recording back until what is still to be read cannot change which events are present in them.

    That depends on where the recording ends, if an event or the next window reaches there. `seconds` of a batch is what
    was read by the time it is yielded.
    """
    waiting: deque[WindowValues] = deque()
    for windows in batches:
        waiting.append(windows)
        while waiting and waiting[0].starts[-1] + 2 * length + hop <= windows.seconds:
            yield waiting.popleft()._replace(seconds=windows.seconds)
    yield from [windows._replace(seconds=waiting[-1].seconds) for windows in waiting]


def label_windows(
    starts: np.ndarray, seconds: float, events: np.ndarray, length: float, hop: float, min_seconds: float
) -> tuple[np.ndarray, np.ndarray]:
    """Which events are present in each window, and which windows contain no part of any event.

    Args:
        starts: of successive windows, (n_windows,), s.
        seconds: of the recording, or what was read of it.
        events: start and end times, (n_events, 2), s.
        length, hop: of the windows, s.
        min_seconds: see lib.sound.grid.

    Returns bool (n_windows, n_events) and bool (n_windows,).
    """
    begin, end = events[:, 0], np.minimum(events[:, 1], seconds)
    first, last = windows_with_event(begin, end, length, hop, min_seconds, n_windows(seconds, length, hop), seconds)
    index = round(starts[0] / hop)  # of the first of these windows
    event, window = expand_ranges(np.maximum(first - index, 0), np.minimum(last - index, len(starts) - 1))
    present = np.zeros((len(starts), len(events)), bool)
    present[window, event] = True
    inside = np.minimum(starts[:, None] + length, end) - np.maximum(starts[:, None], begin)
    return present, ~((inside > 0) | present).any(axis=1)


def _events_outside(
    path: Path, events: np.ndarray, classes: list[str], seconds: float, is_found: np.ndarray
) -> Iterator[Problem]:
    """A Problem for each event that lies partly or completely after the end of the recording, or in no window."""
    for (start, end), name, found in zip(events, classes, is_found, strict=True):
        where = f"{name} at {start:g} to {end:g} s"
        if start >= seconds:
            fault = f"{where} starts after the end ({seconds:.2f} s)"
            yield Problem(printable(str(path)), fault, "correct its times")
        elif seconds + END_TOLERANCE < end < np.inf:
            yield unusual(path, f"{where} ends after the end ({seconds:.2f} s) and was cut there")
        elif not found:
            fault = f"{where} lies behind the last window, since less than {MIN_TAIL:g} s of sound make none"
            yield Problem(printable(str(path)), fault, "let it begin earlier, or do without it")


class _SharedIds(NamedTuple):
    """IDs of the rows that all windows refer to."""

    source: int
    spec_group: int
    classes: dict[str, int]


class _WindowStore:
    """Recordings that the extract stage put into a training database, as lib.core.incremental needs them."""

    def __init__(self, path: Path, connection: Connection, ids: _SharedIds, audio: AudioSettings) -> None:
        self._path, self._connection, self._ids, self._audio = path, connection, ids, audio
        self._picked = picked_contents(connection)

    def keys(self) -> dict[str, str]:
        columns = tables.recording.c
        query = select(columns.Name, columns.Key).where(columns.Key.is_not(None))
        with readable(self._path, tables.FILE):
            return {name: key for name, key in self._connection.execute(query)}

    def prepare(self) -> None:
        pass

    def keep(self, item: Item) -> list[Problem]:
        columns = tables.recording.c
        query = select(columns.Problems).where(columns.Name == item.name, columns.Key.is_not(None))
        with readable(self._path, tables.FILE):
            return [Problem(*fields) for fields in json.loads(self._connection.execute(query).scalar_one())]

    def write(self, source: Source, key: str, pieces: Iterator[ExtractedWindows], problems: list[Problem]) -> None:
        item = source.item
        with whole_or_nothing(self._connection):
            _mark(self._connection, self._ids.spec_group, 1)
            _delete_recordings(self._connection, [item.name])
            columns = {"SourceID": self._ids.source, "FileName": printable(item.path.name), "Path": item.inputs[0]}
            columns |= {"Name": item.name, "Seconds": 0.0, "Key": "", "Content": source.content}
            recording_id = self._connection.execute(insert(tables.recording), columns).lastrowid
            digest, seconds = hashlib.blake2b(digest_size=16), 0.0
            for windows, seconds in pieces:  # noqa: B007
                self._insert(recording_id, windows)
                for window in windows:
                    digest.update(repr((window.offset, window.classes, len(window.value))).encode() + window.value)
                    digest.update(window.sound or b"")
            done = {"Seconds": seconds, "Key": key_to_keep(key, problems), "Digest": digest.hexdigest()}
            done["Problems"] = json.dumps(problems)
            self._connection.execute(update(tables.recording).filter_by(ID=recording_id).values(done))
            if source.content in self._picked:
                forget_copied(self._connection, source.content)  # the annotations may have changed
                prefer_hand_picked(self._connection, source.content, self._audio.spec_duration)

    def _insert(self, recording_id: int, windows: list[ExtractedWindow]) -> None:
        first = (self._connection.execute(select(func.max(tables.segment.c.ID))).scalar() or 0) + 1
        segments: list[dict] = []
        labels: list[dict] = []
        spectrograms: list[dict] = []
        for segment_id, window in enumerate(windows, first):
            rate = None if window.sound is None else self._audio.sampling_rate
            segments.append({"ID": segment_id, "RecordingID": recording_id, "Offset": window.offset})
            segments[-1] |= {"Audio": window.sound, "SamplingRate": rate}
            labels += [{"SegmentID": segment_id, "ClassID": self._ids.classes[name]} for name in window.classes]
            spectrograms.append({"SegmentID": segment_id, "SpecGroupID": self._ids.spec_group, "Value": window.value})
        for table, rows in (
            (tables.segment, segments),
            (tables.segment_class, labels),
            (tables.spec_value, spectrograms),
        ):
            if rows:
                self._connection.execute(insert(table), rows)

    def fail(self, item: Item, error: AudioError) -> None:
        _delete_recordings(self._connection, [item.name])

    def commit(self) -> None:
        self._connection.commit()


def _insert_shared_rows(
    connection: Connection, classes: pd.DataFrame, audio: AudioSettings, database: Path
) -> _SharedIds:
    """Insert or update the rows that all windows refer to.

    Raises EarshotError if recordings inserted by hand have spectrograms of other settings in the group.
    """
    settings, group = tables.settings_text(audio), tables.spec_group.c
    by_hand = select(func.count()).select_from(tables.spec_value).join(tables.segment).join(tables.recording)
    by_hand = by_hand.join(tables.spec_group).where(tables.recording.c.Key.is_(None), group.Name == tables.DEFAULT)
    if n := connection.execute(by_hand.where(group.Settings.is_distinct_from(settings))).scalar():
        fault = f"{counted(n, 'spectrogram')} of recordings inserted by hand, with other audio settings"
        remedy = f"run it with --spec_group {tables.DEFAULT} --replace to remake them, or use another database"
        raise EarshotError(database, fault, remedy)
    source_id = _id_of(connection, tables.source, tables.DEFAULT)
    group_id = _id_of(connection, tables.spec_group, tables.DEFAULT)
    change = update(tables.spec_group).where(group.ID.is_(group_id), group.Settings.is_distinct_from(settings))
    connection.execute(change.values(Settings=settings, Unfinished=1))
    _id_of(connection, tables.category, tables.DEFAULT)
    ids = {}
    for row in classes.itertuples():
        category_id = _id_of(connection, tables.category, row.category or tables.DEFAULT)
        values = {"CategoryID": category_id, "AltName": row.alt_name, "Code": row.code, "AltCode": row.alt_code}
        ids[row.name] = _id_of(connection, tables.class_, row.name, **values)
    return _SharedIds(source_id, group_id, ids)


def _mark(connection: Connection, group_id: int, unfinished: int | None) -> None:
    """Note whether a group is being filled: whoever trains with it meanwhile would miss windows, or get old ones."""
    group = tables.spec_group.c
    change = update(tables.spec_group).where(group.ID.is_(group_id), group.Unfinished.is_distinct_from(unfinished))
    connection.execute(change.values(Unfinished=unfinished))


def _id_of(connection: Connection, table: Table, name: str, **values) -> int:
    """The ID of the row of a name, inserted if missing, with the other columns set to the values."""
    row = connection.execute(select(table).where(table.c.Name == name)).mappings().first()
    if row is None:
        return connection.execute(insert(table).values(Name=name, **values)).lastrowid
    if values.items() - row.items():  # SQLite counts an update as a change even if it changes nothing
        connection.execute(update(table).where(row["ID"] == table.c.ID).values(values))
    return row["ID"]


def _delete_recordings(connection: Connection, names: list[str]) -> None:
    """Delete recordings, except those that were inserted by hand, with all rows that belong to them."""
    columns = tables.recording.c
    for start in range(0, len(names), 500):
        chosen = columns.Name.in_(names[start : start + 500]) & columns.Key.is_not(None)
        connection.execute(delete(tables.recording).where(chosen))


def _delete_other_classes(connection: Connection, names: list[str]) -> None:
    """Delete classes of other names, except those of recordings inserted by hand, and categories without classes.

    This comes last: until then, labels of recordings that are still to be replaced refer to them, and an interrupted
    run may be resumed with a data set that has them again.
    """
    labels, class_, category = tables.segment_class, tables.class_.c, tables.category.c
    by_hand = select(labels.c.ClassID).join_from(labels, tables.segment).join(tables.recording).filter_by(Key=None)
    connection.execute(delete(tables.class_).where(class_.Name.not_in(names), class_.ID.not_in(by_hand)))
    unused = category.ID.not_in(select(class_.CategoryID)) & (category.Name != tables.DEFAULT)
    connection.execute(delete(tables.category).where(unused))


def _report(connection: Connection, outcome: Outcome, problems: list[Problem]) -> ExtractionReport:
    """The report; its digest is of the content of the extracted recordings, of the classes, and of paths, offsets,
    classes and sizes of spectrograms of recordings inserted by hand."""
    recording, segment, label = tables.recording.c, tables.segment.c, tables.segment_class.c
    class_, category, value, group = tables.class_.c, tables.category.c, tables.spec_value.c, tables.spec_group.c

    def rows(query: Select) -> list[list]:
        return [list(row) for row in connection.execute(query)]

    [[n_recordings]], [[n_segments]] = (
        rows(select(func.count()).select_from(table)) for table in (tables.recording, tables.segment)
    )
    [[n_labelled]] = rows(select(func.count(func.distinct(label.SegmentID))))
    per_class = select(class_.Name, func.count(label.ID)).join_from(tables.class_, tables.segment_class, isouter=True)
    extracted = select(recording.Name, recording.Digest).where(recording.Key.is_not(None)).order_by(recording.Name)
    classes = select(class_.Name, class_.Code, class_.AltName, class_.AltCode, category.Name)
    classes = classes.join_from(tables.class_, tables.category).order_by(class_.Name)
    by_hand = select(recording.Path, segment.Offset, class_.Name, func.length(value.Value))
    by_hand = by_hand.join_from(tables.recording, tables.segment).join(tables.spec_value).join(tables.spec_group)
    by_hand = by_hand.outerjoin(tables.segment_class, label.SegmentID == segment.ID).outerjoin(tables.class_)
    by_hand = by_hand.where(recording.Key.is_(None), group.Name == tables.DEFAULT)
    by_hand = by_hand.order_by(recording.Path, segment.Offset, class_.Name)
    return ExtractionReport(
        recordings=n_recordings,
        windows=n_segments,
        background_windows=n_segments - n_labelled,
        windows_per_class=dict(rows(per_class.group_by(class_.Name).order_by(class_.Name))),
        failed=[{"recording": name, "reason": error.fault} for name, error in outcome.failed.items()],
        warnings=[str(problem) for problem in problems],
        digest=digest_of([rows(extracted), rows(classes), rows(by_hand)]),
    )
