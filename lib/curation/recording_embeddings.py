"""Embeddings of recordings into a store, incrementally (see lib.core.incremental)."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lib.config.schema import Settings
from lib.core.code_digest import digest_code
from lib.core.digests import digest_of
from lib.core.errors import AudioError, EarshotError, Problem
from lib.core.files import atomic, printable
from lib.core.incremental import Item, Job, Outcome, Source, run
from lib.core.locks import sole_writer
from lib.core.parallel import n_workers
from lib.curation.embedding_store import Embeddings, EmbeddingStore, write_vectors
from lib.inference.lazy_predictor import lazy_predictor
from lib.inference.streams import Batch, WindowReader, hop_of, stream_windows
from lib.models.description import read_description
from lib.models.model_files import model_digests, model_files
from lib.sound.recordings import Recordings

if TYPE_CHECKING:
    from lib.inference.predictor import Predictor

EMBEDDING_CODE = (stream_windows, write_vectors)
"""What shapes a store, besides what makes embeddings of spectrograms."""


def embed_recordings(recordings: Recordings, model: str | Path, settings: Settings, output: Path) -> Outcome:
    """Bring the embeddings of recordings by a model (or a folder of them) into a store; what else it holds stays.

    settings: `infer` says the overlap, the device and how to compute; the model says the rest. Raises EarshotError if
    the model cannot be used, if another process writes to the store, or if it holds embeddings of other recordings by
    another model or with other settings.
    """
    infer, description = settings.infer, read_description(model_files(model)[0])
    audio = description.audio
    hop = hop_of(audio, infer.overlap)
    code = digest_code(*EMBEDDING_CODE)
    manifest: dict[str, Any] = {"hop": hop, "audio": audio.model_dump(), "code_of_windows": code}
    manifest |= made_by(model, settings)
    reader = WindowReader(audio, hop, infer.batch_size, takes=description.takes)
    items = [Item(name, path) for name, path in recordings.items()]
    job = Job("embed", reader.read, digest_of(manifest), "", n_workers(infer.workers))
    with sole_writer(output), EmbeddingStore(output, recordings, manifest) as store:
        with lazy_predictor(model, settings, manifest["models"]) as predictor:
            outcome = run(items, job, _VectorStore(store, predictor))
        store.finish()
    return outcome


@dataclass(frozen=True)
class _VectorStore:
    """A store of embeddings with the model that makes them, as lib.core.incremental needs it."""

    store: EmbeddingStore
    predictor: Callable[[], "Predictor"]

    def keys(self) -> dict[str, str]:
        return self.store.keys()

    def prepare(self) -> None:
        self.predictor()

    def keep(self, item: Item) -> list[Problem]:
        return self.store.keep(item.name, printable(str(item.path)))

    def write(self, source: Source, key: str, pieces: Iterator[Batch], problems: list[Problem]) -> None:
        item, batches = source.item, embed_batches(pieces, self.predictor())
        self.store.write(item.name, printable(str(item.path)), key, batches, problems)

    def fail(self, item: Item, error: AudioError) -> None:
        self.store.remove(item.name)

    def commit(self) -> None:
        if self.store.dim:  # else the model may turn out not to be usable, and embeddings by another one must stay
            self.store.commit()


def embed_batches(batches: Iterable[Batch], predictor: "Predictor") -> Iterator[tuple[np.ndarray, float]]:
    """Embeddings, float32 (n, dim), of successive windows, and the seconds of sound read so far."""
    for batch in batches:
        yield predictor.get_embeddings(batch.windows.inputs), batch.windows.seconds


def made_by(model: str | Path, settings: Settings) -> dict[str, Any]:
    """What makes embeddings of spectrograms: those that differ in it must not be mixed."""
    code = digest_code(embed_batches)
    return {"models": sorted(model_digests(model).values()), "precision": settings.infer.precision, "code": code}


def check_model(embeddings: Embeddings, model: str | Path) -> None:
    """Raise EarshotError if embeddings are not of that model."""
    if embeddings.models != sorted(model_digests(model).values()):
        fault = f"its embeddings were made by another model than {model}"
        raise EarshotError(embeddings.path, fault, "give that one by --model, or run the embed stage with this one")


def write_parquet(path: str | Path, output: str | Path) -> int:
    """Write a store as Parquet, row group by row group, for other programs; returns the number of rows.

    Columns: recording, path, start_time, end_time (s), embedding (a list of float32 of fixed size).
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    n = 0
    with EmbeddingStore(path) as store:
        vector = pa.list_(pa.float32(), store.dim)
        times = [("start_time", pa.float64()), ("end_time", pa.float64())]
        schema = pa.schema([("recording", pa.string()), ("path", pa.string()), *times, ("embedding", vector)])
        with atomic(output) as part, pq.ParquetWriter(part, schema) as writer:
            for piece in store.pieces():
                ids, which = np.unique(piece.recordings, return_inverse=True)
                recordings = [store.recording(int(i)) for i in ids]
                columns: dict[str, Any] = {
                    "recording": [recordings[i].name for i in which],  # type: ignore[union-attr]
                    "path": [recordings[i].path for i in which],  # type: ignore[union-attr]
                    "start_time": piece.starts,
                    "end_time": piece.starts + store.seconds,
                    "embedding": pa.FixedSizeListArray.from_arrays(piece.vectors.reshape(-1), type=vector),
                }
                writer.write_table(pa.table(columns, schema=schema))
                n += len(which)
    return n
