"""A map of sounds: a point in the plane for each, near those that a model takes for similar.

Embeddings are reduced to at most 50 principal components and laid out by UMAP (McInnes, Healy and Melville, UMAP:
Uniform Manifold Approximation and Projection, 2018) by the cosine of their angles; fewer than 200 are shown by their
first two components. The same sounds give the same map.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np

from lib.core.digests import digest_of, state_of
from lib.core.files import atomic
from lib.curation.clip_index import Clip
from lib.curation.embedding_store import EmbeddingStore

MOST_COMPONENTS = 50
FEWEST, NEIGHBOURS = 200, 15
"""Points from which on UMAP lays them out, and how many neighbours of each it looks at."""
SEED = 1


class SoundMap(NamedTuple):
    """Positions of clips, float32 (n, 2) in 0..1, and their IDs, int (n,)."""

    ids: np.ndarray
    positions: np.ndarray


def clip_vectors(clips: Sequence[Clip], store: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """The mean embedding of the windows that each clip overlaps by half a window or more, else of the nearest one.

    Clips whose recordings have no embeddings are left out. Returns IDs, int (n,), and vectors, float32 (n, dim).
    """
    by_path: dict[str, list[Clip]] = {}
    for clip in clips:
        by_path.setdefault(clip.path, []).append(clip)
    ids, vectors = [], []
    with EmbeddingStore(store) as embeddings:
        places = {path: embeddings.recording_at(path) for path in by_path}
        dim, seconds = embeddings.dim, embeddings.seconds
    for path, recording in places.items():
        if recording is None:
            continue
        with EmbeddingStore(store, [recording.name]) as embeddings:
            pieces = list(embeddings.pieces())
        if not pieces:
            continue
        starts, values = (np.concatenate([piece[k] for piece in pieces]) for k in (1, 2))
        for clip in by_path[path]:
            shared = np.minimum(starts + seconds, clip.end_time) - np.maximum(starts, clip.start_time)
            inside = shared >= min(seconds / 2, shared.max())
            ids.append(clip.id)
            vectors.append(values[inside].mean(axis=0))
    return np.array(ids, np.int64), np.array(vectors, np.float32).reshape(len(ids), dim)


def layout(vectors: np.ndarray) -> np.ndarray:
    """Positions in the plane, float32 (n, 2) in 0..1, of embeddings, float32 (n, dim)."""
    directions = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    centred = directions - directions.mean(axis=0)
    n_components = min(MOST_COMPONENTS, *centred.shape)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    components = (u * s)[:, :n_components]
    if len(vectors) >= FEWEST:
        from umap import UMAP

        positions = UMAP(n_neighbors=NEIGHBOURS, metric="cosine", random_state=SEED, n_jobs=1).fit_transform(components)
    else:
        positions = np.zeros((len(vectors), 2))
        positions[:, : min(2, n_components)] = components[:, :2]
    low, high = positions.min(axis=0), positions.max(axis=0)
    return ((positions - low) / np.maximum(high - low, 1e-12)).astype(np.float32)


def sound_map(clips: Sequence[Clip], store: str | Path) -> SoundMap:
    """The map of clips, which is kept beside the store until other sounds or embeddings are asked for.

    Raises EarshotError if there is no such store, or it is damaged.
    """
    with EmbeddingStore(store) as embeddings:
        state = state_of(embeddings.path)
    places = [[clip.path, clip.start_time, clip.end_time] for clip in clips]
    path, key = Path(f"{store}.map.npz"), digest_of([state, places, SEED])
    numbers = np.array([clip.id for clip in clips], np.int64)
    try:
        with np.load(path, allow_pickle=False) as kept:
            if str(kept["key"]) == key:
                return SoundMap(numbers[kept["which"]], kept["positions"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        pass  # there is none, or it was damaged
    ids, vectors = clip_vectors(clips, store)
    if not len(ids):
        return SoundMap(ids, np.zeros((0, 2), np.float32))
    positions = layout(vectors)
    index = {number: k for k, number in enumerate(numbers.tolist())}
    which = np.array([index[number] for number in ids.tolist()], np.int64)
    with atomic(path) as part, part.open("wb") as file:
        np.savez(file, key=np.array(key), which=which, positions=positions)
    return SoundMap(ids, positions)
