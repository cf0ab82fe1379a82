"""Embeddings of a training database's windows, in the column `Embedding` of their spectrograms.

A vector is stored as compressed float32, so that `np.frombuffer(zlib.decompress(value), np.float32)` gives it back.
"""

import json
import os
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np
from sqlalchemy import ColumnElement, Connection, func, select, text, update

from lib.config.schema import AudioSettings, Settings
from lib.core.databases import change_count, usable
from lib.core.digests import state_of
from lib.core.errors import EarshotError
from lib.core.files import printable
from lib.core.incremental import COMMIT_SECONDS
from lib.core.locks import sole_writer
from lib.core.progress import progress
from lib.core.wording import counted
from lib.curation.embedding_store import WINDOWS_A_PIECE, EmbeddedRecording, EmbeddingPiece, Embeddings
from lib.curation.recording_embeddings import made_by
from lib.models.model_files import check_digests
from lib.sound.classes import LABEL_FIELDS, ClassList
from lib.training_data import training_tables as schema
from lib.training_data.sound_codec import decode_sound
from lib.training_data.spectrogram_codec import decode
from lib.training_data.stored_windows import StoredWindows

if TYPE_CHECKING:
    from lib.inference.predictor import Predictor

_value, _segment, _recording = schema.spec_value.c, schema.segment.c, schema.recording.c


def embed_database(
    database: str | Path,
    model: str | Path,
    settings: Settings,
    spec_group: str = schema.DEFAULT,
    class_name: str | None = None,
) -> int:
    """Give each spectrogram of a group its embedding by a model (or a folder of them); returns their number.

    class_name: a name or code; only spectrograms of that class. Known embeddings cost nothing, so an interrupted run
    resumes; those of another model in the group are removed first. Raises EarshotError if there are no such
    spectrograms, if they were made with other audio settings than the model was trained with, if the model takes sound
    that the database does not hold, or if another process writes to the database.
    """
    database = Path(database)
    engine = schema.open_training_tables(database)
    with sole_writer(database), usable(database, schema.FILE), engine.connect() as connection:
        chosen = _chosen(connection, database, spec_group, class_name)
        n, n_embedded = _counts(connection, chosen)
        if not n:
            raise EarshotError(database, "holds no such spectrograms", "run the extract stage, or name another class")
        from lib.inference.predictor import Predictor

        made = made_by(model, settings)
        predictor = Predictor(model, settings.infer.device, settings)
        check_digests(model, made["models"])
        audio = _audio_settings(connection, spec_group)
        if audio is not None and audio != predictor.description.audio:
            fault = f"its spectrograms (group {spec_group}) have other audio settings than the model {model}"
            raise EarshotError(database, fault, "give the model that was trained with it")
        if predictor.description.takes == "waveforms":
            StoredWindows(database, spec_group).check_sound()
        if _claim(connection, spec_group, json.dumps(made, sort_keys=True)):
            n_embedded = 0
        windows = _embed(connection, chosen & _value.Embedding.is_(None), predictor, settings.infer.batch_size)
        for _ in progress(windows, "embed", n, unit="windows", done=n_embedded):
            pass
    return n


def _claim(connection: Connection, spec_group: str, made: str) -> bool:
    """Note what makes a group's embeddings, and remove those made by something else; returns whether there were any."""
    group = connection.execute(select(schema.spec_group).filter_by(Name=spec_group)).one()
    if group.EmbeddedBy == made:
        return False
    connection.execute(update(schema.spec_value).where(_value.SpecGroupID == group.ID).values(Embedding=None))
    connection.execute(update(schema.spec_group).filter_by(ID=group.ID).values(EmbeddedBy=made))
    connection.commit()
    return True


def _embed(connection: Connection, chosen: ColumnElement, predictor: "Predictor", batch: int) -> Iterator[int]:
    """Embed the windows of the chosen spectrograms, a batch at a time; yields the ID of each when it is done."""
    last, committed = -1, time.monotonic()
    audio, of_sound = predictor.description.audio, predictor.description.takes == "waveforms"
    query = select(_value.ID, (_segment.Audio if of_sound else _value.Value).label("Value"))
    query = query.join_from(schema.spec_value, schema.segment).where(chosen).order_by(_value.ID).limit(batch)
    while rows := connection.execute(query.where(last < _value.ID)).all():
        if of_sound:
            windows = np.stack([decode_sound(row.Value, audio.window_samples + 2 * audio.margin) for row in rows])
        else:
            windows = np.stack([_spectrogram(row.Value, audio.spec_height) for row in rows])
        for row, vector in zip(rows, predictor.get_embeddings(windows), strict=True):
            packed = zlib.compress(np.ascontiguousarray(vector, "<f4").tobytes())
            connection.execute(update(schema.spec_value).where(row.ID == _value.ID).values(Embedding=packed))
            yield row.ID
        last = rows[-1].ID
        if time.monotonic() - committed > COMMIT_SECONDS:
            connection.commit()
            committed = time.monotonic()
    connection.commit()


class DatabaseEmbeddings(Embeddings):
    """A training database whose spectrograms have embeddings.

    class_name: a name or code; only windows of that class. Raises EarshotError if windows lack an embedding.
    """

    precision, _kind, _recordings = np.float32, schema.FILE, schema.recording

    def __init__(self, database: str | Path, spec_group: str = schema.DEFAULT, class_name: str | None = None) -> None:
        path = Path(database)
        with ExitStack() as on_fault, usable(path, schema.FILE):
            connection = on_fault.enter_context(schema.open_training_tables(path).connect())
            connection.execute(text("BEGIN"))  # until it is closed, nobody renumbers the rows
            self._chosen = _chosen(connection, path, spec_group, class_name)
            self._n, n_embedded = _counts(connection, self._chosen)
            audio = _audio_settings(connection, spec_group)
            made = connection.execute(select(schema.spec_group.c.EmbeddedBy).filter_by(Name=spec_group)).scalar_one()
            if not self._n:
                raise EarshotError(path, "holds no such spectrograms", "name another class or group")
            if n_embedded < self._n:
                fault = f"{self._n - n_embedded} of {counted(self._n, 'spectrogram')} without embedding"
                raise EarshotError(path, fault, f"run the embed stage with --database {path}")
            if audio is None:
                raise EarshotError(path, f"the audio settings of group {spec_group} are not known", "extract it again")
            on_fault.pop_all()
        self._group, self._is_whole = spec_group, class_name is None
        super().__init__(path, connection, audio, json.loads(made)["models"])

    def version(self) -> str | None:
        return f"{state_of(self.path)} {change_count(self.path)}" if self._is_whole else None

    @property
    def index_folder(self) -> Path:
        return self.path.with_name(f"{self.path.name}.{quote(self._group, safe='')}.index")

    def count(self) -> int:
        return self._n

    def pieces(self) -> Iterator[EmbeddingPiece]:
        query = select(_segment.RecordingID, _segment.Offset, _value.Embedding)
        query = query.join_from(schema.segment, schema.recording).join(
            schema.spec_value, _value.SegmentID == _segment.ID
        )
        query = query.where(self._chosen).order_by(_recording.Name, _recording.ID, _segment.Offset)
        with usable(self.path, schema.FILE):
            found = self._connection.execute(query.execution_options(yield_per=WINDOWS_A_PIECE))
            for rows in found.partitions():
                ids, starts, packed = zip(*rows, strict=True)
                vectors = np.frombuffer(bytearray().join(map(zlib.decompress, packed)), "<f4").reshape(len(rows), -1)
                yield EmbeddingPiece(np.array(ids), np.array(starts, float), vectors)

    def spectrogram(self, recording: EmbeddedRecording, start: float) -> np.ndarray:
        query = select(_value.Value).join_from(schema.segment, schema.spec_value, _value.SegmentID == _segment.ID)
        query = query.where(_segment.RecordingID == recording.id, _segment.Offset == start, self._chosen)
        return _spectrogram(self._connection.execute(query).scalars().one(), self.audio.spec_height)

    def content(self, recording_id: int) -> str:
        """Digest of a recording's bytes, as they were extracted; "": it is not known."""
        query = select(_recording.Content).filter_by(ID=recording_id)
        return self._connection.execute(query).scalar() or ""

    def recording_at(self, path: str | Path) -> EmbeddedRecording | None:
        place = printable(os.path.realpath(path))  # the database knows places within the data set
        rows = self._connection.execute(select(_recording.ID, _recording.Path).filter_by(FileName=Path(place).name))
        ids = [row.ID for row in rows if place.endswith(f"/{row.Path}")]
        return self.recording(ids[0]) if ids else None


def _spectrogram(value: bytes, height: int) -> np.ndarray:
    return decode(value, height).astype(np.float32) / np.float32(255)


def _counts(connection: Connection, chosen: ColumnElement) -> tuple[int, int]:
    """Numbers of chosen spectrograms, and of those that have an embedding."""
    n, n_embedded = connection.execute(select(func.count(), func.count(_value.Embedding)).where(chosen)).one()
    return n, n_embedded


def _audio_settings(connection: Connection, spec_group: str) -> AudioSettings | None:
    content = connection.execute(select(schema.spec_group.c.Settings).filter_by(Name=spec_group)).scalar_one()
    return AudioSettings.model_validate_json(content) if content else None


def _chosen(connection: Connection, database: Path, spec_group: str, class_name: str | None) -> ColumnElement:
    """The condition that a row of SpecValue is of that group and, if a class is named, of that class."""
    group = connection.execute(select(schema.spec_group.c.ID).filter_by(Name=spec_group)).scalar()
    if group is None:
        raise EarshotError(database, f"holds no spectrogram group {spec_group}", "run the extract stage")
    if class_name is None:
        return _value.SpecGroupID == group
    columns = schema.class_.c
    rows = connection.execute(select(columns.Name, columns.Code, columns.AltName, columns.AltCode))
    classes = ClassList(dict(zip(LABEL_FIELDS.values(), row, strict=True)) for row in rows)
    name = classes.resolve(class_name)
    if name is None:
        raise EarshotError(database, f"holds no class {class_name}", f"it has {', '.join(sorted(classes.names))}")
    labels = schema.segment_class.c
    labelled = select(labels.SegmentID).join(schema.class_).where(columns.Name == name)
    return (_value.SpecGroupID == group) & _value.SegmentID.in_(labelled)
