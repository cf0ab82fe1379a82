"""Spectrogram groups: spectrograms of the same segments under several audio settings, side by side.

A group stores the settings that all of its spectrograms were made with, so that a model trained on it knows them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import select

from lib.audio.spectrograms import recording_windows_at
from lib.config.schema import AudioSettings
from lib.core.errors import AudioError, EarshotError, Problem
from lib.core.parallel import map_streams, n_workers
from lib.core.progress import progress
from lib.training_data import training_tables as tables
from lib.training_data.extraction import WINDOWS_AT_ONCE
from lib.training_data.spectrogram_codec import encode
from lib.training_data.training_database import TrainingDatabase


def claim_group(db: TrainingDatabase, name: str, audio: AudioSettings, replace: bool = False) -> int:
    """ID of the spectrogram group of a name, inserted if missing, for spectrograms of these audio settings.

    replace: delete the spectrograms of a group that has other settings; without it, such a group is an EarshotError.
    """
    settings = tables.settings_text(audio)
    groups = db.get_specgroup({"Name": name})
    if not groups:
        return db.insert_specgroup(name, settings)
    (group,) = groups
    if group.settings == settings:
        return group.id
    if db.get_specvalue_count({"SpecGroupID": group.id}):
        if not replace:
            differences = "they are not known"
            if group.settings is not None:
                differences = AudioSettings.model_validate_json(group.settings).differences(audio)
            fault = f"spectrogram group {name} has other audio settings ({differences})"
            raise EarshotError(db.db_path, fault, "choose another group, or replace this one")
        db.delete_specvalue({"SpecGroupID": group.id})
    db.update_specgroup(group.id, "Settings", settings)
    return group.id


class _MissingSpectrograms(NamedTuple):
    """Segments of a recording that lack a spectrogram: IDs, and start times (s), which ascend."""

    path: Path
    segments: list[int]
    offsets: list[float]


def reextract(
    db: TrainingDatabase,
    audio: AudioSettings,
    spec_group: str,
    folder: str | Path = "",
    replace: bool = False,
    workers: int = 0,
) -> tuple[int, list[Problem]]:
    """Make spectrograms of all segments with other audio settings, into a group.

    Segments that have a spectrogram in the group are skipped, so an interrupted run resumes and new segments are added.
    Memory does not grow with the number or the length of the recordings.

    Args:
        db: the database.
        audio: settings of the spectrograms.
        spec_group: name of the group.
        folder: what relative paths of recordings are relative to: the data set of the extract stage.
        replace: delete the spectrograms of a group that has other settings; without it, that is an EarshotError.
        workers: threads; 0: one per processor.

    Returns the number of spectrograms made, and a Problem for each recording that cannot be read.
    """
    group = claim_group(db, spec_group, audio, replace)
    recording, segment = tables.recording.c, tables.segment.c
    stored = select(tables.spec_value.c.SegmentID).where(tables.spec_value.c.SpecGroupID == group)
    lacking = segment.ID.not_in(stored)
    query = select(recording.ID, recording.Path).join_from(tables.recording, tables.segment).where(lacking).distinct()
    recordings = db.select(query.order_by(recording.Name, recording.ID))
    if not recordings:
        return 0, []

    def tasks() -> Iterator[_MissingSpectrograms]:
        for row in recordings:
            query = select(segment.ID, segment.Offset).where(segment.RecordingID == row.id, lacking)
            segments = db.select(query.order_by(segment.Offset))
            yield _MissingSpectrograms(
                Path(folder, row.path), [each.id for each in segments], [each.offset for each in segments]
            )

    def spectrograms(task: _MissingSpectrograms) -> Iterator[bytes]:
        for windows in recording_windows_at(task.path, audio, task.offsets, WINDOWS_AT_ONCE):
            yield from map(encode, windows.spectrograms)

    n_made, problems = 0, []
    streams = map_streams(spectrograms, tasks(), n_workers(workers))
    for task, values in progress(streams, "make spectrograms", total=len(recordings)):
        try:
            with db.transaction():
                for segment_id, value in zip(task.segments, values, strict=True):
                    db.insert_specvalue(value, group, segment_id)
            n_made += len(task.segments)
        except AudioError as error:
            problems.append(error.problem())
    return n_made, problems
