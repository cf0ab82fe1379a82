"""Search by example for clips: what sounds like a clip whose recording has embeddings, without its model."""

from pathlib import Path

import numpy as np

from lib.core.errors import EarshotError
from lib.curation.clip_index import Clip
from lib.curation.embedding_store import EmbeddedRecording, EmbeddingStore
from lib.curation.nearest_windows import Match, Query, Stretch, nearest_windows
from lib.curation.vector_index import open_index


def similar_to(clip: Clip, store: str | Path, n: int) -> list[Match]:
    """The n windows of a store of embeddings that sound most like a clip, best first, without those that overlap it.

    Raises EarshotError if there is no such store, or it lacks the clip's recording.
    """
    with EmbeddingStore(store) as embeddings:
        recording = embeddings.recording_at(clip.path)
        if recording is None:
            raise EarshotError(clip.recording, "has no embeddings", "run python -m stages.embed on its folder")
        vectors = _vectors(store, recording, clip)
        query = Query(vectors, Stretch(recording.id, clip.start_time, clip.end_time))
        if (index := open_index(embeddings)) is not None:
            return index.nearest(query, n)
        return nearest_windows(embeddings, embeddings.pieces(), query, n)


def _vectors(store: str | Path, recording: EmbeddedRecording, clip: Clip) -> np.ndarray:
    """Embeddings of the windows that lie in a clip, or else of the one that is nearest to its middle."""
    with EmbeddingStore(store, [recording.name]) as embeddings:
        if not (pieces := list(embeddings.pieces())):  # it is shorter than a window
            raise EarshotError(clip.recording, "has no embeddings", "choose a clip of another recording")
        starts, vectors = (np.concatenate([piece[k] for piece in pieces]) for k in (1, 2))
        inside = (starts >= clip.start_time - 0.01) & (starts + embeddings.seconds <= clip.end_time + 0.01)
        if not inside.any():
            middle = (clip.start_time + min(clip.end_time, clip.start_time + 3600)) / 2
            inside[np.argmin(np.abs(starts + embeddings.seconds / 2 - middle))] = True
    return vectors[inside]
