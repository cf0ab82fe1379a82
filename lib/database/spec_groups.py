"""Spectrogram groups: the same segments as several audio settings show them, side by side.

A group holds the settings that all of its spectrograms were made with, so that a model trained on it knows them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

from sqlalchemy import Column, Select, select

from lib.audio.spectrogram import recording_windows_at
from lib.config import Audio
from lib.console import progress
from lib.database import schema
from lib.database.codec import encode
from lib.database.training_database import TrainingDatabase
from lib.errors import AudioError, EarshotError, Problem
from lib.parallel import map_streams, n_workers

WINDOWS_AT_ONCE = 64


def claim_group(db: TrainingDatabase, name: str, audio: Audio, replace: bool = False) -> int:
    """ID of the spectrogram group of that name, made if missing, for spectrograms of these audio settings.

    replace: delete the spectrograms of a group that has other settings. Without it, such a group is an EarshotError.
    """
    settings = schema.settings_text(audio)
    groups = db.get_specgroup({"Name": name})
    if not groups:
        return db.insert_specgroup(name, settings)
    (group,) = groups
    if group.settings == settings:
        return group.id
    in_use = db.get_specvalue_count({"SpecGroupID": group.id})
    if in_use and not replace:
        raise EarshotError(
            f"{db.db_path}: spectrogram group {name} has other audio settings ({_difference(group.settings, audio)}); "
            "choose another group, or replace this one"
        )
    if in_use:
        db.delete_specvalue({"SpecGroupID": group.id})
    db.update_specgroup(group.id, "Settings", settings)
    return group.id


def _difference(settings: str | None, audio: Audio) -> str:
    """In what settings of a group differ from these, such as `spec_height 64 instead of 128`."""
    if settings is None:
        return "they are not known"
    stored, wanted = Audio.model_validate_json(settings).model_dump(), audio.model_dump()
    return ", ".join(f"{key} {stored[key]} instead of {wanted[key]}" for key in wanted if stored[key] != wanted[key])


class _Task(NamedTuple):
    """A recording, and the segments of it that get a spectrogram: IDs and start times (s), which ascend."""

    path: Path
    segments: list[int]
    offsets: list[float]


def reextract(
    db: TrainingDatabase,
    audio: Audio,
    spec_group: str,
    folder: str | Path = "",
    replace: bool = False,
    workers: int = 0,
) -> tuple[int, list[Problem]]:
    """Make the spectrograms of all segments with other audio settings, into a group of their own.

    Segments that have a spectrogram in the group already cost nothing, so what was stopped goes on, and what came in
    later is added. Memory does not grow with the number or the length of the recordings.

    Args:
        db: the database.
        audio: settings to make them with.
        spec_group: name of the group.
        folder: where relative paths of recordings begin: the data set of the extract stage.
        replace: delete the spectrograms of a group that has other settings; without it, it is an EarshotError.
        workers: threads; 0: one for each processor.

    Returns the number of spectrograms made, and a Problem for each recording that was passed over.
    """
    group = claim_group(db, spec_group, audio, replace)
    columns = schema.recording.c
    recordings = db.select(_lacking(group, columns.ID, columns.Path).distinct().order_by(columns.Name, columns.ID))
    if not recordings:
        return 0, []
    tasks = (_task(db, recording, group, Path(folder)) for recording in recordings)
    n_made, problems = 0, []
    streams = map_streams(lambda task: _spectrograms(task, audio), tasks, n_workers(workers))
    for task, values in progress(streams, "make spectrograms", total=len(recordings)):
        try:
            with db.transaction():
                for segment, value in zip(task.segments, values, strict=True):
                    db.insert_specvalue(value, group, segment)
        except AudioError as error:
            problems.append(error.problem(task.path))
        else:
            n_made += len(task.segments)
    return n_made, problems


def _lacking(group: int, *columns: Column) -> Select:
    """Select columns of recordings and their segments that have no spectrogram in a group."""
    there = select(schema.spec_value.c.SegmentID).where(schema.spec_value.c.SpecGroupID == group)
    return select(*columns).join_from(schema.recording, schema.segment).where(schema.segment.c.ID.not_in(there))


def _task(db: TrainingDatabase, recording: SimpleNamespace, group: int, folder: Path) -> _Task:
    segment = schema.segment.c
    lacking = _lacking(group, segment.ID, segment.Offset).where(segment.RecordingID == recording.id)
    rows = db.select(lacking.order_by(segment.Offset))
    return _Task(folder / recording.path, [row.id for row in rows], [row.offset for row in rows])


def _spectrograms(task: _Task, audio: Audio) -> Iterator[bytes]:
    with reading():
        for windows in recording_windows_at(task.path, audio, task.offsets, WINDOWS_AT_ONCE):
            yield from map(encode, windows.spectrograms)


@contextmanager
def reading() -> Iterator[None]:
    """Raise an AudioError where a recording inside cannot be opened."""
    try:
        yield
    except OSError as error:
        raise AudioError(f"cannot be read ({error.strerror}); check the path and its permissions") from None
