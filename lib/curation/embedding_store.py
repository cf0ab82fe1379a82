"""Embeddings of the windows of many recordings, in one SQLite file that grows recording by recording.

A recording's vectors lie together, float16, in blocks of up to WINDOWS_A_BLOCK windows, so tens of millions of windows
are read at the speed of the disk, a block at a time. They are stored as the model gives them, not normalized. Window k
of a recording starts at k * hop seconds. A recording is in the file whole or not at all; those of the last seconds are
lost when a run is killed.
"""

import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from sqlalchemy import (
    Column,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    create_engine,
    delete,
    event,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool

from lib.audio.spectrogram import recording_windows
from lib.config import Audio
from lib.errors import EarshotError
from lib.files import atomic, printable

APPLICATION = 0x45415245
"""SQLite's application_id of a store: a file without it is somebody else's."""
FORMAT = "earshot-embeddings-1"
WINDOWS_A_BLOCK = 1024
WINDOWS_A_PIECE = 8192
"""Windows that are searched together: enough for a matrix product, few enough for a processor's cache."""
COMMIT_SECONDS = 2.0
LARGEST = float(np.finfo(np.float16).max)
NAMES_A_QUERY = 500
STAGE = "embed"

metadata = MetaData()
_store = Table("Store", metadata, Column("Manifest", Text, nullable=False))
_recording = Table(
    "Recording",
    metadata,
    Column("ID", Integer, primary_key=True),
    Column("Name", Text, nullable=False, unique=True),
    Column("Path", Text, nullable=False),
    Column("Seconds", Float, nullable=False),
    Column("Windows", Integer, nullable=False),
    Column("Key", Text, nullable=False),  # digest of all that its vectors were made from
)
_block = Table(
    "Block",
    metadata,
    Column("ID", Integer, primary_key=True),
    Column("RecordingID", ForeignKey("Recording.ID", ondelete="CASCADE"), nullable=False),
    Column("First", Integer, nullable=False),  # number of its first window
    Column("Vectors", LargeBinary, nullable=False),  # float16, little-endian, (n, dim)
    Index("ix_Block_RecordingID_First", "RecordingID", "First", unique=True),
)


class Recording(NamedTuple):
    """A recording that windows belong to; seconds: its duration."""

    id: int
    name: str
    path: str
    seconds: float


class Piece(NamedTuple):
    """Some windows, in the order of recording and start.

    recordings: int (n,), IDs. starts: float64 (n,), s. vectors: float32 (n, dim).
    """

    recordings: np.ndarray
    starts: np.ndarray
    vectors: np.ndarray


class Embeddings(Protocol):
    """What can be searched: an EmbeddingStore, or DatabaseEmbeddings. seconds: length of a window. models: digests of
    those that made the vectors, sorted.
    """

    path: Path

    @property
    def models(self) -> list[str]: ...

    @property
    def seconds(self) -> float: ...

    def count(self) -> int: ...

    def pieces(self) -> Iterator[Piece]: ...

    def recording(self, which: int | str) -> Recording | None: ...

    def recording_at(self, path: str | Path) -> Recording | None: ...

    def spectrogram(self, recording: Recording, start: float) -> np.ndarray: ...


class EmbeddingStore:
    """A store that exists; create() makes one. It can be used in a `with` block.

    only: names of the recordings that count() and pieces() are about; None: all.
    manifest: what all vectors have in common: `audio` (settings), `hop` (s), `dim`, and what they were made by.
    Raises EarshotError if the file is missing or something else; so do the methods if it is damaged.
    """

    def __init__(self, path: str | Path, only: Iterable[str] | None = None) -> None:
        self.path = Path(path)
        self._only = None if only is None else list(only)
        if not self.path.is_file():
            raise EarshotError(f"{path}: no such store of embeddings; run the embed stage first")
        with usable(self.path, STAGE):
            self._connection = _engine(self.path).connect()
            if self._connection.execute(text("PRAGMA application_id")).scalar() != APPLICATION:
                raise EarshotError(f"{path}: is no store of embeddings; give another file")
            self.manifest: dict[str, Any] = json.loads(self._connection.execute(select(_store.c.Manifest)).scalar_one())
        if self.manifest.get("format") != FORMAT:
            raise EarshotError(f"{path}: is no store of format {FORMAT}; remove it and run the embed stage")
        self._connection.rollback()
        self.audio = Audio.model_validate(self.manifest["audio"])
        self._committed = time.monotonic()

    @classmethod
    def create(cls, path: str | Path, manifest: dict[str, Any]) -> Self:
        """An empty store; a store that is there is replaced."""
        path = Path(path)
        if path.exists():
            cls(path).close()  # an error if it is something else
        with atomic(path) as part, usable(path, STAGE), _engine(part).connect() as connection:
            connection.execute(text("PRAGMA page_size = 16384"))
            metadata.create_all(connection)
            connection.execute(insert(_store).values(Manifest=json.dumps({"format": FORMAT} | manifest)))
            connection.execute(text(f"PRAGMA application_id = {APPLICATION}"))
            connection.commit()
        return cls(path)

    @property
    def seconds(self) -> float:
        """Length of a window."""
        return self.audio.spec_duration

    @property
    def models(self) -> list[str]:
        """Digests of the models that made the vectors, sorted."""
        return self.manifest["models"]

    def keys(self) -> dict[str, str]:
        """The key of each recording by its name."""
        with usable(self.path, STAGE):
            return {name: key for name, key in self._connection.execute(select(_recording.c.Name, _recording.c.Key))}

    def count(self) -> int:
        """Number of windows."""
        with usable(self.path, STAGE):
            query = select(func.coalesce(func.sum(_recording.c.Windows), 0))
            return sum(self._connection.execute(query.where(part)).scalar_one() for part in _parts(self._only))

    def recording(self, which: int | str) -> Recording | None:
        """The recording of that ID or name."""
        column = _recording.c.Name if isinstance(which, str) else _recording.c.ID
        query = select(_recording.c.ID, _recording.c.Name, _recording.c.Path, _recording.c.Seconds)
        with usable(self.path, STAGE):
            row = self._connection.execute(query.where(column == which)).first()
        return Recording(*row) if row else None

    def recording_at(self, path: str | Path) -> Recording | None:
        """The recording of which a file is the sound."""
        name = printable(Path(path).name)
        query = select(_recording.c.ID, _recording.c.Path).where(_recording.c.Path.endswith(name, autoescape=True))
        with usable(self.path, STAGE):
            found = [row.ID for row in self._connection.execute(query) if _same_file(row.Path, path)]
        return self.recording(found[0]) if found else None

    def insert(self, name: str, path: str, key: str, batches: Iterable[tuple[np.ndarray, float]]) -> int:
        """Store a recording in place of what stood there; returns the number of its windows.

        batches: vectors float32 (n, dim) of successive windows, and the seconds of sound read so far. Where they raise
        an error, the recording is not in the store afterwards, nor what stood there.
        """
        with usable(self.path, STAGE):
            return self._insert(name, path, key, batches)

    def _insert(self, name: str, path: str, key: str, batches: Iterable[tuple[np.ndarray, float]]) -> int:
        self.remove(name)
        values = {"Name": name, "Path": path, "Seconds": 0.0, "Windows": 0, "Key": ""}
        recording_id = self._connection.execute(insert(_recording).values(values)).lastrowid
        seconds, n, held = 0.0, 0, bytearray()

        def write() -> None:
            nonlocal n
            row = {"RecordingID": recording_id, "First": n, "Vectors": bytes(held)}
            self._connection.execute(insert(_block).values(row))
            n += len(held) // (2 * self.manifest["dim"])
            held.clear()

        try:
            for vectors, seconds in batches:  # noqa: B007
                held += np.clip(vectors, -LARGEST, LARGEST).astype("<f2").tobytes()
                if len(held) >= WINDOWS_A_BLOCK * 2 * self.manifest["dim"]:
                    write()
            if held:
                write()
        except BaseException:
            self.remove(name)
            raise
        done = {"Seconds": seconds, "Windows": n, "Key": key}
        self._connection.execute(update(_recording).filter_by(ID=recording_id).values(done))
        self._commit()
        return n

    def remove(self, name: str) -> None:
        with usable(self.path, STAGE):
            self._connection.execute(delete(_recording).where(_recording.c.Name == name))

    def move(self, name: str, path: str) -> None:
        """Note where a recording, the same as ever, lies now."""
        changed = (_recording.c.Name == name) & (_recording.c.Path != path)
        with usable(self.path, STAGE):
            self._connection.execute(update(_recording).where(changed).values(Path=path))

    def pieces(self) -> Iterator[Piece]:
        """The windows, in the order of name and start."""
        rows: list[tuple[int, int, bytes]] = []
        n, size = 0, 2 * self.manifest["dim"]
        with usable(self.path, STAGE):
            for part in _parts(self._only):
                query = select(_recording.c.ID, _block.c.First, _block.c.Vectors).join_from(_recording, _block)
                found = self._connection.execute(
                    query.where(part).order_by(_recording.c.Name, _block.c.First).execution_options(yield_per=16)
                )
                for row in found:
                    rows.append(tuple(row))  # type: ignore[arg-type]
                    n += len(row.Vectors) // size
                    if n >= WINDOWS_A_PIECE:
                        yield self._piece(rows)
                        rows, n = [], 0
            if rows:
                yield self._piece(rows)

    def spectrogram(self, recording: Recording, start: float) -> np.ndarray:
        """The spectrogram of a window, float32 (height, width) in 0..1, from its file. Raises AudioError."""
        windows = recording_windows(recording.path, self.audio, self.seconds, 1, start)
        return next(windows).spectrograms[0]

    def _piece(self, rows: list[tuple[int, int, bytes]]) -> Piece:
        import torch  # widens float16 seven times as fast as numpy

        ids, firsts, blobs = zip(*rows, strict=True)
        dim = self.manifest["dim"]
        counts = np.array([len(blob) // (2 * dim) for blob in blobs])
        joined = bytearray().join(blobs)
        vectors = torch.frombuffer(joined, dtype=torch.float16).float().numpy().reshape(-1, dim)
        number = np.arange(len(vectors)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(firsts, counts)
        return Piece(np.repeat(ids, counts), number * self.manifest["hop"], vectors)

    def _commit(self) -> None:
        if time.monotonic() - self._committed > COMMIT_SECONDS:
            self._connection.commit()
            self._committed = time.monotonic()

    def close(self) -> None:
        """Keep what was inserted."""
        with usable(self.path, STAGE):
            self._connection.commit()
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


@contextmanager
def usable(path: str | Path, stage: str) -> Iterator[None]:
    """Turn a fault of a database into an EarshotError; stage: which one makes the file."""
    try:
        yield
    except DatabaseError as error:
        action = f"check that it has room and that nothing else is using it, or remove it and run the {stage} stage"
        raise EarshotError(f"{path}: cannot be used ({error.orig}); {action}") from None


def _same_file(stored: str, path: str | Path) -> bool:
    return os.path.realpath(stored) == printable(os.path.realpath(path))


def _parts(names: Iterable[str] | None) -> Iterator[Any]:
    """Conditions that choose the recordings of these names, a few hundred each, in the order of the names."""
    if names is None:
        yield text("1")
        return
    names = sorted(names, key=lambda name: name.encode("utf-8", "surrogatepass"))  # as SQLite orders them
    for first in range(0, len(names), NAMES_A_QUERY):
        yield _recording.c.Name.in_(names[first : first + NAMES_A_QUERY])


def _engine(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def _configure(connection, _record) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = NORMAL")

    return engine
