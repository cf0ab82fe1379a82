"""Embeddings of recordings, incrementally, into a store.

Each recording carries a key, a digest of its content, the model and the settings; one whose key stands in the store
already costs nothing but a look at the file. Recordings are read in threads, window by window, so memory does not grow
with their length, and a run that was killed goes on where it stopped.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lib.audio.spectrogram import Windows, recording_windows
from lib.config import Settings
from lib.console import progress
from lib.curation.embedding_store import Embeddings, EmbeddingStore
from lib.digests import digest_code, digest_file, digest_known_file, digest_of
from lib.errors import AudioError, EarshotError, Problem
from lib.files import atomic, printable
from lib.inference.manifest import SCORED_BY
from lib.inference.streams import hop_of
from lib.models.description import Description, read_description
from lib.models.files import model_files
from lib.parallel import map_streams, n_workers


class Embedded(NamedTuple):
    """What became of recordings: how many there are, how many of them were new, how many could not be read, and the
    windows that the store now holds of them, their length (s) and the dimension of their vectors; and a Problem for
    each that could not be read or is odd.
    """

    recordings: int
    new: int
    failed: int
    windows: int
    seconds: float
    dim: int
    problems: list[Problem]


@dataclass
class _Task:
    """A recording on its way into the store; the thread that reads it fills in what it learns."""

    name: str
    path: Path
    known: str | None  # its key in the store
    key: str = ""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Job:
    """What is the same for all recordings of a run; key: digest of all of it that the vectors depend on."""

    description: Description
    hop: float
    batch: int
    key: str


def embed_recordings(recordings: dict[str, Path], model: str | Path, settings: Settings, output: Path) -> Embedded:
    """Bring the embeddings of recordings (name -> file) by a model (or a folder of them) into a store.

    settings: `infer` says the overlap, the device and how to compute; the model the rest. Other recordings in the store
    stay. Raises EarshotError if the model cannot be used, or if the store holds other recordings' embeddings by another
    model or with other settings.
    """
    description = read_description(model_files(model)[0])
    manifest = make_manifest(description, model, settings)
    known = _known(output, set(recordings), manifest)
    job = _Job(description, manifest["hop"], settings.infer.batch_size, digest_of(manifest))
    tasks = [_Task(name, path, known.get(name)) for name, path in recordings.items()]
    # Reading starts here: the first recordings are decoded while torch, which takes seconds, is imported below.
    streams = map_streams(lambda task: _read(task, job), tasks, n_workers(settings.infer.workers))
    from lib.inference.predictor import Predictor
    from lib.models.device import leave_room_for_reading

    leave_room_for_reading()
    predictor = Predictor(model, settings.infer.device, settings)
    if known:
        store = EmbeddingStore(output)
    else:
        audio = description.audio
        empty = np.zeros((1, audio.spec_height, audio.spec_width), np.float32)
        store = EmbeddingStore.create(output, manifest | {"dim": predictor.get_embeddings(empty).shape[1]})
    problems: list[Problem] = []
    n_new = n_failed = 0
    with store:
        for task, windows in progress(streams, "embed", len(tasks)):
            try:
                n_new += _store(task, windows, predictor, store)
            except AudioError as error:
                problems.append(error.problem(task.path))
                store.remove(task.name)
                n_failed += 1
                continue
            if task.notes:
                problems.append(Problem(printable(str(task.path)), "; ".join(task.notes), "check the file", lost=False))
    with EmbeddingStore(output, recordings) as store:
        n_windows, dim = store.count(), store.manifest["dim"]
    return Embedded(len(recordings), n_new, n_failed, n_windows, description.audio.spec_duration, dim, problems)


def make_manifest(description: Description, model: str | Path, settings: Settings) -> dict[str, Any]:
    """All that the vectors of a store have in common, but for their dimension.

    Raises EarshotError if infer.overlap is no overlap of the model's windows.
    """
    hop = hop_of(description.audio, settings.infer.overlap)
    return {"hop": hop, "audio": description.audio.model_dump()} | made_by(model, settings)


def made_by(model: str | Path, settings: Settings) -> dict[str, Any]:
    """What makes embeddings of spectrograms: those that differ in it must not be mixed."""
    return {"models": model_digests(model), "precision": settings.infer.precision, "code": digest_code(*SCORED_BY)}


def model_digests(model: str | Path) -> list[str]:
    return sorted(digest_file(file) for file in model_files(model))


def check_model(stored: Embeddings, model: str | Path) -> None:
    """Raise EarshotError if stored vectors are not of that model."""
    if stored.models != model_digests(model):
        fault = f"its embeddings were made by another model than {model}"
        raise EarshotError(f"{stored.path}: {fault}; give that one by --model, or run the embed stage with this one")


def _known(output: Path, names: set[str], manifest: dict[str, Any]) -> dict[str, str]:
    """The keys of the recordings that the store holds, made as the manifest says; none if it must be made anew."""
    if not output.exists():
        return {}
    with EmbeddingStore(output) as store:
        keys = store.keys()
        if all(store.manifest.get(name) == value for name, value in manifest.items()):
            return keys
    if others := set(keys) - names:
        fault = f"holds embeddings of {len(others)} other recordings, by another model or with other settings"
        raise EarshotError(f"{output}: {fault}; give another --output, or remove it")
    return {}


def _read(task: _Task, job: _Job) -> Iterator[Windows]:
    """A recording's windows; none if the store holds it already."""
    try:
        task.key = digest_of([digest_known_file(task.path), job.key])
    except OSError as error:
        raise AudioError(f"cannot be read ({error.strerror}); check the file and its permissions") from None
    if task.key == task.known:
        return
    loudest = 0.0
    for windows in recording_windows(task.path, job.description.audio, job.hop, job.batch, note=task.notes.append):
        loudest = max(loudest, float(windows.spectrograms.max()))
        yield windows
    if loudest == 0:
        task.notes.append("is silent from start to end")


def _store(task: _Task, windows: Iterator[Windows], predictor: Any, store: EmbeddingStore) -> bool:
    """Bring a recording into the store; returns whether it was new."""
    path = printable(str(task.path))
    first = next(windows, None)
    if first is None:
        store.move(task.name, path)
        return False
    batches = ((predictor.get_embeddings(some.spectrograms), some.seconds) for some in chain([first], windows))
    store.insert(task.name, path, task.key, batches)
    return True


def write_table(path: str | Path, output: str | Path) -> int:
    """Write a store as Parquet, row group by row group, for other programs; returns the number of rows.

    Columns: recording, path, start_time, end_time (s), embedding (a list of float32 of fixed size).
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    n = 0
    with EmbeddingStore(path) as store:
        vector = pa.list_(pa.float32(), store.manifest["dim"])
        times = [("start_time", pa.float64()), ("end_time", pa.float64())]
        schema = pa.schema([("recording", pa.string()), ("path", pa.string()), *times, ("embedding", vector)])
        with atomic(output) as part, pq.ParquetWriter(part, schema) as writer:
            for piece in store.pieces():
                ids, which = np.unique(piece.recordings, return_inverse=True)
                places = [store.recording(int(i)) for i in ids]
                columns: dict[str, Any] = {
                    "recording": [places[i].name for i in which],  # type: ignore[union-attr]
                    "path": [places[i].path for i in which],  # type: ignore[union-attr]
                    "start_time": piece.starts,
                    "end_time": piece.starts + store.seconds,
                    "embedding": pa.FixedSizeListArray.from_arrays(piece.vectors.reshape(-1), type=vector),
                }
                writer.write_table(pa.table(columns, schema=schema))
                n += len(which)
    return n
