"""Windows with embeddings as suggestions."""

import numpy as np

from lib.core.errors import EarshotError, SettingsError
from lib.curation.database_embeddings import DatabaseEmbeddings
from lib.curation.embedding_store import EmbeddedRecording, Embeddings, EmbeddingStore
from lib.curation.suggestion import Suggestion
from lib.curation.suggestions import SuggestionSources
from lib.training_data.stored_windows import StoredWindows


def chosen_embeddings(sources: SuggestionSources) -> Embeddings:
    """Those of the store, or of the training database if no store is named.

    Raises EarshotError if there are none, SettingsError if a class is named, which a store does not know.
    """
    if sources.store is None:
        return DatabaseEmbeddings(sources.database, sources.spec_group, sources.class_name)
    if sources.class_name is not None:
        raise SettingsError(f"--class {sources.class_name}", "goes without --store, whose windows have no class")
    return EmbeddingStore(sources.store)


def recording_of(embeddings: Embeddings, recording_id: int) -> EmbeddedRecording:
    recording = embeddings.recording(int(recording_id))
    assert recording is not None  # its window was just read
    return recording


def window_suggestion(
    embeddings: Embeddings, recording_id: int, start: float, score: float, kind: str, why: str
) -> Suggestion:
    """A window of a store or database as a suggestion without a class."""
    recording = recording_of(embeddings, recording_id)
    path = recording.path if isinstance(embeddings, EmbeddingStore) else ""
    about = recording.name, path, float(start), float(start) + embeddings.seconds
    return Suggestion(*about, "", float(score), kind, why=why)


def training_embeddings(database: str, spec_group: str, windows: StoredWindows) -> np.ndarray | None:
    """Embeddings of all windows of a training database, float32 (n, dim); None if it does not hold those of each."""
    try:
        with DatabaseEmbeddings(database, spec_group) as embeddings:
            pieces = list(embeddings.pieces())
    except EarshotError:
        return None
    starts = np.concatenate([piece.starts for piece in pieces])
    is_same = np.array_equal(starts, windows.starts)  # not where two sources have a recording of one name
    return np.concatenate([piece.vectors for piece in pieces]) if is_same else None
