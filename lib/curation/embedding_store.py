"""The embedding store: vectors of the windows of many recordings, in one SQLite file that grows recording by recording.

A recording's vectors lie together, float16, in blocks of up to WINDOWS_A_BLOCK windows, so that tens of millions of
windows are read at the speed of the disk. They are stored as the model gives them, not normalized. A recording is in
the file as a whole or not at all.
"""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    true,
    update,
)

from lib.audio.spectrograms import recording_windows
from lib.config.schema import AudioSettings
from lib.core.databases import Kind, fix_header, open_database, readable, usable, whole_or_nothing
from lib.core.digests import digest_of
from lib.core.errors import EarshotError, Problem
from lib.core.files import printable
from lib.core.incremental import key_to_keep

WINDOWS_A_BLOCK = 1024
WINDOWS_A_PIECE = 8192
"""Windows that are searched together: enough for a matrix product, few enough for a processor's cache."""
LARGEST = float(np.finfo(np.float16).max)

_metadata = MetaData()
_manifest = Table("Manifest", _metadata, Column("Content", Text, nullable=False))
_recording = Table(
    "Recording",
    _metadata,
    Column("ID", Integer, primary_key=True),
    Column("Name", Text, nullable=False, unique=True),
    Column("Path", Text, nullable=False),
    Column("Seconds", Float, nullable=False),
    Column("Windows", Integer, nullable=False),
    Column("Problems", Text, nullable=False),  # what is unusual about it, as JSON
    Column("Key", Text, nullable=False),  # digest of all that its vectors were made from
)
_block = Table(
    "Block",
    _metadata,
    Column("ID", Integer, primary_key=True),
    Column("RecordingID", ForeignKey("Recording.ID", ondelete="CASCADE"), nullable=False),
    Column("First", Integer, nullable=False),  # number of its first window
    Column("Windows", Integer, nullable=False),
    Column("Vectors", LargeBinary, nullable=False),  # float16, little-endian, (n, dim)
    Index("ix_Block_RecordingID_First", "RecordingID", "First", unique=True),
)
FILE = Kind("store of embeddings", _metadata, 0x45415245, 2, "run the embed stage")


class EmbeddedRecording(NamedTuple):
    """A recording that windows belong to; seconds: its duration."""

    id: int
    name: str
    path: str
    seconds: float


class EmbeddingPiece(NamedTuple):
    """Some windows, in the order of recording and start.

    Args:
        recordings: their IDs, int (n,).
        starts: float64 (n,), s.
        vectors: float32 (n, dim).
    """

    recordings: np.ndarray
    starts: np.ndarray
    vectors: np.ndarray


class Embeddings(ABC):
    """Windows with embeddings, which can be searched. It can be used in a `with` block.

    path: the file. audio: settings of the windows' spectrograms. models: digests of what made the vectors, sorted.
    """

    precision: type[np.floating]
    """Of the vectors in the file."""
    _kind: Kind
    _recordings: Table  # with the columns ID, Name, Path and Seconds

    def __init__(self, path: Path, connection: Connection, audio: AudioSettings, models: list[str]) -> None:
        self.path, self._connection, self.audio, self.models = path, connection, audio, models

    @property
    def seconds(self) -> float:
        """Length of a window."""
        return self.audio.spec_duration

    @abstractmethod
    def count(self) -> int:
        """Number of windows."""

    @abstractmethod
    def pieces(self) -> Iterator[EmbeddingPiece]:
        """The windows, in the order of recording and start."""

    @abstractmethod
    def version(self) -> str | None:
        """What differs whenever the windows in the file do; None if these are only a part of them."""

    @property
    def index_folder(self) -> Path:
        """Where the vector index of these windows is."""
        return self.path.with_name(f"{self.path.name}.index")

    @abstractmethod
    def spectrogram(self, recording: EmbeddedRecording, start: float) -> np.ndarray:
        """The spectrogram of a window, float32 (height, width) in 0..1. Raises AudioError if it cannot be made."""

    @abstractmethod
    def recording_at(self, path: str | Path) -> EmbeddedRecording | None:
        """The recording of which a file is the sound."""

    def recording(self, which: int | str) -> EmbeddedRecording | None:
        """The recording of that ID or name."""
        columns = self._recordings.c
        condition = (columns.Name if isinstance(which, str) else columns.ID) == which
        query = select(columns.ID, columns.Name, columns.Path, columns.Seconds).where(condition)
        with readable(self.path, self._kind):
            row = self._connection.execute(query).first()
        return EmbeddedRecording(*row) if row else None

    def recordings(self, ids: Iterable[int]) -> dict[int, EmbeddedRecording]:
        """The recordings of these IDs, as far as there are such, by ID."""
        columns = self._recordings.c
        query = select(columns.ID, columns.Name, columns.Path, columns.Seconds).where(_is_among(columns.ID, ids))
        with readable(self.path, self._kind):
            return {row.ID: EmbeddedRecording(*row) for row in self._connection.execute(query)}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was not committed is lost."""
        self._connection.close()


class EmbeddingStore(Embeddings):
    """The embeddings of recordings in a file.

    Args:
        path: the file.
        only: names of the recordings that count() and pieces() are about; None: all.
        manifest: to write: what all vectors have in common, `audio` (settings), `hop` (s; window k starts at k * hop)
            and what made them, such as `models`. The file is made if it is missing; from the first commit on, it holds
            no vectors made by another manifest. None: to read.

    Raises EarshotError if the file is missing (to read), of another kind, or holds recordings besides `only` by another
    manifest; so do the methods if it is damaged.
    """

    precision, _kind, _recordings = np.float16, FILE, _recording

    def __init__(
        self, path: str | Path, only: Iterable[str] | None = None, manifest: dict[str, Any] | None = None
    ) -> None:
        path = Path(path)
        self._is_whole = only is None
        self._chosen = true() if only is None else _is_among(_recording.c.Name, only)
        try:
            engine = open_database(path, FILE, create=manifest is not None)
        except EarshotError as error:
            if manifest is None:
                raise
            raise EarshotError(path, error.fault, "remove it and run embed again, or give another --output") from None
        with readable(path, FILE):
            connection = engine.connect()
            content = connection.execute(select(_manifest.c.Content)).scalar()
            if manifest is not None and content != json.dumps(manifest):
                if n := connection.execute(select(func.count()).where(~self._chosen)).scalar():
                    connection.close()
                    fault = f"holds embeddings of {n} other recordings, by another model or with other settings"
                    raise EarshotError(path, fault, "give another --output, or remove it")
                content = json.dumps(manifest)
                for table in (_recording, _manifest):
                    connection.execute(delete(table))
                connection.execute(insert(_manifest).values(Content=content))
        if content is None:
            connection.close()
            raise EarshotError(path, "holds no embeddings", FILE.remedy)
        with readable(path, FILE):
            self.manifest: dict[str, Any] = json.loads(content)
            audio, models = AudioSettings.model_validate(self.manifest["audio"]), list(self.manifest["models"])
            hop = float(self.manifest["hop"])
        self._hop = hop
        super().__init__(path, connection, audio, models)

    @property
    def dim(self) -> int:
        """Dimension of the vectors; 0 if there are none."""
        query = select(func.length(_block.c.Vectors) // (2 * _block.c.Windows)).limit(1)
        return self._execute(query).scalar() or 0

    def count(self) -> int:
        query = select(func.coalesce(func.sum(_recording.c.Windows), 0)).where(self._chosen)
        return self._execute(query).scalar_one()

    def pieces(self) -> Iterator[EmbeddingPiece]:
        query = select(_recording.c.ID, _block.c.First, _block.c.Windows, _block.c.Vectors)
        query = query.join_from(_recording, _block).where(self._chosen).order_by(_recording.c.Name, _block.c.First)
        blocks, n = [], 0
        with readable(self.path, FILE):
            for block in self._connection.execute(query.execution_options(yield_per=16)):
                blocks.append(block)
                n += block.Windows
                if n >= WINDOWS_A_PIECE:
                    yield self._piece(blocks)
                    blocks, n = [], 0
            if blocks:
                yield self._piece(blocks)

    def _piece(self, blocks: list) -> EmbeddingPiece:
        import torch  # widens float16 seven times as fast as numpy

        ids, firsts, counts, vectors = zip(*blocks, strict=True)
        if any(not 0 < 2 * n <= len(value) for n, value in zip(counts, vectors, strict=True)):
            raise ValueError("a block of another number of windows")
        joined = torch.frombuffer(bytearray().join(vectors), dtype=torch.float16).float().numpy()
        numbers = np.concatenate([np.arange(first, first + n) for first, n in zip(firsts, counts, strict=True)])
        return EmbeddingPiece(np.repeat(ids, counts), numbers * self._hop, joined.reshape(len(numbers), -1))

    def chosen_recordings(self) -> dict[str, EmbeddedRecording]:
        """The recordings that count() and pieces() are about, by name."""
        columns = _recording.c
        query = select(columns.ID, columns.Name, columns.Path, columns.Seconds).where(self._chosen)
        with readable(self.path, FILE):
            return {row.Name: EmbeddedRecording(*row) for row in self._connection.execute(query)}

    def spectrogram(self, recording: EmbeddedRecording, start: float) -> np.ndarray:
        windows = recording_windows(recording.path, self.audio, self.seconds, 1, start)
        return next(windows).inputs[0]

    def recording_at(self, path: str | Path) -> EmbeddedRecording | None:
        real, name = printable(os.path.realpath(path)), printable(Path(path).name)
        query = select(_recording.c.ID, _recording.c.Path).where(_recording.c.Path.endswith(name, autoescape=True))
        ids = [row.ID for row in self._execute(query) if os.path.realpath(row.Path) == real]
        return self.recording(ids[0]) if ids else None

    def version(self) -> str | None:
        return digest_of([self.manifest_digest, self.keys_by_id()]) if self._is_whole else None

    @property
    def manifest_digest(self) -> str:
        """Digest of what all vectors have in common."""
        return digest_of(self.manifest)

    def keys_by_id(self) -> dict[int, str]:
        """The key of each recording by its ID."""
        with readable(self.path, FILE):
            return {number: key for number, key in self._connection.execute(select(_recording.c.ID, _recording.c.Key))}

    def keys(self) -> dict[str, str]:
        """The key of each recording by its name."""
        with readable(self.path, FILE):
            return {name: key for name, key in self._connection.execute(select(_recording.c.Name, _recording.c.Key))}

    def write(
        self, name: str, path: str, key: str, batches: Iterable[tuple[np.ndarray, float]], problems: list[Problem]
    ) -> None:
        """Put a recording's vectors in place of what is there of it; all of them or, if the batches raise, none.

        Args:
            name, path: of the recording.
            key: digest of all that the vectors were made from.
            batches: vectors float32 (n, dim) of successive windows, and the seconds of sound read so far.
            problems: what is unusual about it, complete once all batches are taken.
        """
        with usable(self.path, FILE), whole_or_nothing(self._connection):
            self.remove(name)
            values = {"Name": name, "Path": path, "Seconds": 0.0, "Windows": 0, "Problems": "[]", "Key": key}
            recording_id = self._connection.execute(insert(_recording).values(values)).lastrowid
            n, seconds = write_vectors(self._connection, recording_id, batches)
            done = {"Seconds": seconds, "Windows": n, "Problems": json.dumps(problems)}
            done["Key"] = key_to_keep(key, problems)
            self._execute(update(_recording).filter_by(ID=recording_id).values(done))

    def remove(self, name: str) -> None:
        self._execute(delete(_recording).filter_by(Name=name))

    def keep(self, name: str, path: str) -> list[Problem]:
        """Note where a recording, unchanged, lies now; returns what is unusual about it."""
        self._execute(update(_recording).filter_by(Name=name).where(_recording.c.Path != path).values(Path=path))
        with readable(self.path, FILE):
            problems = self._connection.execute(select(_recording.c.Problems).filter_by(Name=name)).scalar_one()
            return [Problem(*fields) for fields in json.loads(problems)]

    def commit(self) -> None:
        with usable(self.path, FILE):
            self._connection.commit()

    def finish(self) -> None:
        """Keep what was written and close the store, with a header that depends on what it holds alone."""
        self.commit()
        digest = digest_of([self.manifest, self.keys()])
        self.close()
        fix_header(self.path, digest)

    def _execute(self, statement: Any) -> Any:
        with usable(self.path, FILE):
            return self._connection.execute(statement)


def write_vectors(
    connection: Connection, recording_id: int, batches: Iterable[tuple[np.ndarray, float]]
) -> tuple[int, float]:
    """Write a recording's vectors, see EmbeddingStore.write; returns their number and the seconds of the recording."""
    n = n_pending = 0
    seconds, pending = 0.0, bytearray()

    def write_block() -> None:
        row = {"RecordingID": recording_id, "First": n, "Windows": n_pending, "Vectors": bytes(pending)}
        connection.execute(insert(_block).values(row))
        pending.clear()

    for vectors, seconds in batches:  # noqa: B007
        pending += np.clip(vectors, -LARGEST, LARGEST).astype("<f2").tobytes()
        n_pending += len(vectors)
        if n_pending >= WINDOWS_A_BLOCK:
            write_block()
            n, n_pending = n + n_pending, 0
    if n_pending:
        write_block()
    return n + n_pending, seconds


def _is_among(column: Column, values: Iterable[str] | Iterable[int]) -> ColumnElement[bool]:
    """The condition that a column has one of these values, any number of them."""
    return column.in_(select(func.json_each(json.dumps(list(values))).table_valued("value").c.value))
