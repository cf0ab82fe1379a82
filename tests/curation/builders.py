"""Settings and stores of embeddings."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile

from lib.config.schema import Settings
from lib.core.incremental import Outcome
from lib.curation.embedding_store import EmbeddingStore
from lib.curation.recording_embeddings import embed_recordings
from lib.sound.recordings import recordings_of
from tests.training_data.builders import AUDIO, RATE

HOP = 0.25
MANIFEST = {"audio": AUDIO.model_dump(), "hop": HOP, "models": []}


def settings(**changes) -> Settings:
    values = {"overlap": AUDIO.spec_duration - HOP, "batch_size": 4, "workers": 1, "device": "cpu", "precision": "32"}
    return Settings(audio=AUDIO, extract={"overlap": 0.0}, infer=values | changes)


def embed(recordings: Path, model: Path, store: Path, **changes) -> Outcome:
    return embed_recordings(recordings_of(recordings)[0], model, settings(**changes), store)


def rows(path: Path) -> list[tuple[str, float, list[float]]]:
    """All windows of a store: recording, start, vector."""
    with EmbeddingStore(path) as store:
        return [
            (store.recording(int(recording)).name, start, vector.tolist())
            for piece in store.pieces()
            for recording, start, vector in zip(*piece, strict=True)
        ]


def record(folder: Path, names: Iterable[str], seconds: float) -> None:
    """Recordings of noise, each its own, in the folder `recordings` of a folder."""
    (folder / "recordings").mkdir(parents=True, exist_ok=True)
    for name in names:
        noise = np.random.default_rng(list(name.encode())).normal(0, 0.1, round(seconds * RATE))
        soundfile.write(folder / "recordings" / f"{name}.wav", noise, RATE)


def make_store(path: Path, recordings: dict[str, list[list[float]]]) -> EmbeddingStore:
    """A store of these vectors of the windows of each recording, by name."""
    with EmbeddingStore(path, recordings, MANIFEST) as store:
        for name, vectors in recordings.items():
            batch = np.array(vectors, np.float32), HOP * len(vectors) + HOP
            store.write(name, f"field/{name}.wav", "key", [batch], [])
        store.finish()
    return EmbeddingStore(path)
