"""Embeddings of a training database's spectrograms, in its own column `Embedding`.

A vector is stored as compressed float32, so that `np.frombuffer(zlib.decompress(value), np.float32)` gives it back.
"""

import json
import os
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
from sqlalchemy import ColumnElement, Connection, func, select, update

from lib.config import Audio, Settings
from lib.console import progress
from lib.curation.embedding_store import COMMIT_SECONDS, WINDOWS_A_PIECE, Piece, Recording, usable
from lib.curation.embeddings import made_by
from lib.database import schema
from lib.database.codec import decode
from lib.errors import EarshotError
from lib.files import printable

_value, _segment, _recording = schema.spec_value.c, schema.segment.c, schema.recording.c


def embed_database(
    database: str | Path,
    model: str | Path,
    settings: Settings,
    spec_group: str = schema.DEFAULT,
    class_name: str | None = None,
) -> int:
    """Give each spectrogram of a group its embedding by a model (or a folder of them); returns their number.

    class_name: only those of that class. Embeddings that stand there already cost nothing, so a run that was killed
    goes on; those of another model in the group are removed first. Raises EarshotError if there are no such
    spectrograms, or if they were made with other audio settings than the model was trained with.
    """
    engine = schema.connect(database)
    with engine.connect() as connection, usable(database, "extract"):
        chosen = _chosen(connection, database, spec_group, class_name)
        total = connection.execute(select(func.count()).select_from(schema.spec_value).where(chosen)).scalar_one()
        if not total:
            raise EarshotError(f"{database}: holds no such spectrograms; run the extract stage, or name another class")
        from lib.inference.predictor import Predictor

        predictor = Predictor(model, settings.infer.device, settings)
        audio: Audio = predictor.description.audio
        stored = connection.execute(select(schema.spec_group.c.Settings).filter_by(Name=spec_group)).scalar_one()
        if stored is not None and Audio.model_validate(json.loads(stored)) != audio:
            fault = f"its spectrograms (group {spec_group}) have other audio settings than the model {model}"
            raise EarshotError(f"{database}: {fault}; give the model that was trained with it")
        _claim(connection, spec_group, json.dumps(made_by(model, settings), sort_keys=True))
        chosen &= _value.Embedding.is_(None)
        missing = connection.execute(select(func.count()).select_from(schema.spec_value).where(chosen)).scalar_one()
        windows = _embed(connection, chosen, predictor, audio.spec_height, settings.infer.batch_size)
        for _ in progress(windows, "embed", total, unit="windows", done=total - missing):
            pass
    return total


def _claim(connection: Connection, spec_group: str, made: str) -> None:
    """Note what makes a group's embeddings, and remove those that were made by something else."""
    group = connection.execute(select(schema.spec_group).filter_by(Name=spec_group)).one()
    if group.EmbeddedBy != made:
        connection.execute(update(schema.spec_value).where(_value.SpecGroupID == group.ID).values(Embedding=None))
        connection.execute(update(schema.spec_group).filter_by(ID=group.ID).values(EmbeddedBy=made))
        connection.commit()


def _embed(connection: Connection, chosen: ColumnElement, predictor: Any, height: int, batch: int) -> Iterator[int]:
    """Embed the chosen spectrograms, a batch at a time; yields the ID of each when it is done."""
    last, committed = -1, time.monotonic()
    table = schema.spec_value
    query = select(_value.ID, _value.Value).where(chosen).order_by(_value.ID).limit(batch)
    while rows := connection.execute(query.where(last < _value.ID)).all():
        spectrograms = np.stack([decode(row.Value, height) for row in rows]).astype(np.float32) / np.float32(255)
        for row, vector in zip(rows, predictor.get_embeddings(spectrograms), strict=True):
            packed = zlib.compress(np.ascontiguousarray(vector, "<f4").tobytes())
            connection.execute(update(table).where(row.ID == _value.ID).values(Embedding=packed))
            yield row.ID
        last = rows[-1].ID
        if time.monotonic() - committed > COMMIT_SECONDS:
            connection.commit()
            committed = time.monotonic()
    connection.commit()


class DatabaseEmbeddings:
    """A training database whose spectrograms have embeddings, as something to search; see EmbeddingStore.

    class_name: only windows of that class. Raises EarshotError if windows lack an embedding.
    """

    def __init__(self, database: str | Path, spec_group: str = schema.DEFAULT, class_name: str | None = None) -> None:
        self.path = Path(database)
        self._connection = schema.connect(database).connect()
        with usable(database, "extract"):
            self._chosen = _chosen(self._connection, database, spec_group, class_name)
            group = self._connection.execute(select(schema.spec_group).filter_by(Name=spec_group)).one()
            counts = select(func.count(), func.count(_value.Embedding)).where(self._chosen)
            self._n, n_embedded = self._connection.execute(counts).one()
        if not self._n:
            raise EarshotError(f"{database}: holds no such spectrograms; name another class or group")
        if n_embedded < self._n:
            fault = f"{self._n - n_embedded} of {self._n} spectrograms have no embedding"
            raise EarshotError(f"{database}: {fault}; run the embed stage with --database {database}")
        if group.Settings is None:
            raise EarshotError(f"{database}: of group {spec_group} no audio settings are known; extract it anew")
        self.audio = Audio.model_validate(json.loads(group.Settings))
        self.models: list[str] = json.loads(group.EmbeddedBy)["models"] if group.EmbeddedBy else []

    @property
    def seconds(self) -> float:
        """Length of a window."""
        return self.audio.spec_duration

    def count(self) -> int:
        return self._n

    def recording(self, which: int | str) -> Recording | None:
        """The recording of that ID or name."""
        column = _recording.Name if isinstance(which, str) else _recording.ID
        query = select(_recording.ID, _recording.Name, _recording.Path, _recording.Seconds).where(column == which)
        row = self._connection.execute(query).first()
        return Recording(*row) if row else None

    def recording_at(self, path: str | Path) -> Recording | None:
        """The recording of which a file is the sound; the database knows its place in the data set."""
        place = printable(os.path.realpath(path))
        found = self._connection.execute(select(_recording.ID, _recording.Path).filter_by(FileName=Path(place).name))
        ids = [row.ID for row in found if place.endswith(f"/{row.Path}")]
        return self.recording(ids[0]) if ids else None

    def pieces(self) -> Iterator[Piece]:
        """All windows, in the order of recording and start."""
        query = select(_segment.RecordingID, _segment.Offset, _value.Embedding)
        query = query.join_from(schema.segment, schema.recording).join(
            schema.spec_value, _value.SegmentID == _segment.ID
        )
        query = query.where(self._chosen).order_by(_recording.Name, _recording.ID, _segment.Offset)
        with usable(self.path, "extract"):
            found = self._connection.execute(query.execution_options(yield_per=WINDOWS_A_PIECE))
            for rows in found.partitions():
                ids, starts, packed = zip(*rows, strict=True)
                vectors = np.frombuffer(bytearray().join(map(zlib.decompress, packed)), "<f4").reshape(len(rows), -1)
                yield Piece(np.array(ids), np.array(starts, float), vectors)

    def spectrogram(self, recording: Recording, start: float) -> np.ndarray:
        """The stored spectrogram of a window, float32 (height, width) in 0..1."""
        query = select(_value.Value).join_from(schema.segment, schema.spec_value, _value.SegmentID == _segment.ID)
        query = query.where(_segment.RecordingID == recording.id, _segment.Offset == start, self._chosen)
        value = self._connection.execute(query).scalars().one()
        return decode(value, self.audio.spec_height).astype(np.float32) / np.float32(255)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()


def _chosen(connection: Connection, database: str | Path, spec_group: str, class_name: str | None) -> ColumnElement:
    """The condition that a row of SpecValue is of that group, and of that class if one is named."""
    group = connection.execute(select(schema.spec_group.c.ID).filter_by(Name=spec_group)).scalar()
    if group is None:
        raise EarshotError(f"{database}: holds no spectrogram group {spec_group}; run the extract stage")
    if class_name is None:
        return _value.SpecGroupID == group
    class_id = connection.execute(select(schema.class_.c.ID).filter_by(Name=class_name)).scalar()
    if class_id is None:
        names = ", ".join(connection.execute(select(schema.class_.c.Name).order_by(schema.class_.c.Name)).scalars())
        raise EarshotError(f"{database}: holds no class {class_name}; it has {names}")
    labelled = select(schema.segment_class.c.SegmentID).where(schema.segment_class.c.ClassID == class_id)
    return (_value.SpecGroupID == group) & _value.SegmentID.in_(labelled)
