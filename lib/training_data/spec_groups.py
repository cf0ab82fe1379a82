"""Spectrogram groups: spectrograms of the same segments under several audio settings, side by side.

A group stores the settings that all of its spectrograms were made with, so that a model trained on it knows them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, false, select, update

from lib.config.schema import AudioSettings
from lib.core.errors import AudioError, EarshotError, Problem
from lib.core.parallel import map_streams, n_workers
from lib.core.progress import progress
from lib.training_data import training_tables as tables
from lib.training_data.sound_codec import encode_sound
from lib.training_data.spectrogram_codec import encode
from lib.training_data.training_database import TrainingDatabase
from lib.training_data.window_values import window_values


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
        if name == tables.DEFAULT:  # the sound of windows is cut with its settings
            db.change(_drop_sound)
    db.update_specgroup(group.id, "Settings", settings)
    return group.id


def _drop_sound(connection: Connection) -> None:
    stored = update(tables.segment).where(tables.segment.c.Audio.is_not(None))
    connection.execute(stored.values(Audio=None, SamplingRate=None))


class _LackingSegments(NamedTuple):
    """Segments of a recording that lack a spectrogram or their sound: IDs, start times (s), which ascend, and whether
    each lacks its spectrogram and its sound."""

    path: Path
    segments: list[int]
    offsets: list[float]
    lack_spectrogram: list[bool]
    lack_sound: list[bool]


def reextract(
    db: TrainingDatabase,
    audio: AudioSettings,
    spec_group: str,
    folder: str | Path = "",
    replace: bool = False,
    workers: int = 0,
    sound: bool = False,
) -> tuple[int, list[Problem]]:
    """Make spectrograms of all segments with other audio settings, into a group.

    Segments that have a spectrogram in the group, and their sound if that is wanted, are skipped, so an interrupted run
    resumes and new segments are added.
    Memory does not grow with the number or the length of the recordings.

    Args:
        db: the database.
        audio: settings of the spectrograms.
        spec_group: name of the group.
        folder: what relative paths of recordings are relative to: the data set of the extract stage.
        replace: delete the spectrograms of a group that has other settings; without it, that is an EarshotError.
        workers: threads; 0: one per processor.
        sound: also store the sound of segments inserted by hand that lack it, as the extract stage does of its own;
            only where the group is DEFAULT, by whose settings sound is cut.

    Returns the number of segments that got what they lacked, and a Problem for each recording that cannot be read.
    Raises EarshotError if the extract stage was interrupted: some of the segments are then of other settings than the
    rest.
    """
    if spec_group != tables.DEFAULT and db.get_specgroup_count({"Name": tables.DEFAULT, "Unfinished": 1}):
        fault = "its segments are not complete, since the extract stage was interrupted"
        raise EarshotError(db.db_path, fault, "run that again")
    group = claim_group(db, spec_group, audio, replace)
    recording, segment, value = tables.recording.c, tables.segment.c, tables.spec_value.c
    stored = select(value.ID).where(value.SegmentID == segment.ID, value.SpecGroupID == group)
    lacks_spectrogram = ~stored.exists()
    by_hand = recording.Key.is_(None)
    lacks_sound = segment.Audio.is_(None) & by_hand if sound and spec_group == tables.DEFAULT else false()

    def lacking(*columns: ColumnElement) -> Select:
        chosen = select(*columns).join_from(tables.recording, tables.segment)
        return chosen.where(lacks_spectrogram | lacks_sound)

    query = lacking(recording.ID, recording.Path).distinct()
    recordings = db.select(query.order_by(recording.Name, recording.ID))
    if not recordings:
        return 0, []

    def tasks() -> Iterator[_LackingSegments]:
        for row in recordings:
            flags = lacks_spectrogram.label("LacksSpectrogram"), lacks_sound.label("LacksSound")
            query = lacking(segment.ID, segment.Offset, *flags).where(row.id == recording.ID)
            rows = db.select(query.order_by(segment.Offset))
            columns = ([getattr(each, name) for each in rows] for name in ("id", "offset"))
            lacks = ([bool(getattr(each, name)) for each in rows] for name in ("lacks_spectrogram", "lacks_sound"))
            yield _LackingSegments(Path(folder, row.path), *columns, *lacks)

    def values(task: _LackingSegments) -> Iterator[tuple[bytes | None, bytes | None]]:
        """What each segment lacks, encoded."""
        lacks = zip(task.lack_spectrogram, task.lack_sound, strict=True)
        for windows in window_values(task.path, audio, any(task.lack_sound), task.offsets):
            for spectrogram, waveform in zip(windows.spectrograms, windows.sounds, strict=True):
                lacks_value, lacks_audio = next(lacks)
                stored_sound = encode_sound(waveform) if lacks_audio and waveform is not None else None
                yield encode(spectrogram) if lacks_value else None, stored_sound

    n_made, problems = 0, []
    streams = map_streams(values, tasks(), n_workers(workers))
    for task, stream in progress(streams, "make spectrograms", total=len(recordings)):
        try:
            with db.transaction():
                for segment_id, (spectrogram, stored_sound) in zip(task.segments, stream, strict=True):
                    if spectrogram is not None:
                        db.insert_specvalue(spectrogram, group, segment_id)
                    if stored_sound is not None:
                        db.update_segment(segment_id, "Audio", stored_sound)
                        db.update_segment(segment_id, "SamplingRate", audio.sampling_rate)
            n_made += len(task.segments)
        except AudioError as error:
            problems.append(error.problem())
    return n_made, problems
