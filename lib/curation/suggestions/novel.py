"""Windows of recordings that are unlike all that was learned: far from every embedding of the training database."""

from collections.abc import Iterator

import numpy as np

from lib.core.errors import EarshotError, SettingsError
from lib.core.progress import progress
from lib.curation.database_embeddings import DatabaseEmbeddings
from lib.curation.direction_file import TINY, directions, nearest_similarity
from lib.curation.embedding_store import WINDOWS_A_PIECE, EmbeddingPiece, Embeddings, EmbeddingStore
from lib.curation.suggestion import DecidedSounds, Suggestion, best_apart
from lib.curation.suggestions import RANKINGS, Ranking, SuggestionSources
from lib.curation.suggestions.embedded_windows import window_suggestion

KIND = "novel"
SPARE = 4
"""Windows of a piece that are looked at for each that is wanted, since windows of other pieces overlap them."""


def rank_novel(sources: SuggestionSources) -> list[Suggestion]:
    """The windows of the store whose nearest training window is least similar; their score is 1 - the cosine.

    Raises EarshotError if the database or the store has no embeddings, or they are by different models.
    """
    if sources.store is None:
        raise SettingsError("suggest novel", "needs --store, whose windows to compare with those of training")
    with (
        EmbeddingStore(sources.store) as store,
        DatabaseEmbeddings(sources.database, sources.spec_group, sources.class_name) as database,
    ):
        if store.models != database.models:
            fault = f"its embeddings were made by another model than those of {sources.database}"
            raise EarshotError(store.path, fault, "run the embed stage for both with the same model")
        decided = sources.decided()
        with directions(database) as known:
            best: list[Suggestion] = []
            for piece in progress(store.pieces(), "compare", 1 + store.count() // WINDOWS_A_PIECE, "blocks"):
                lengths = np.linalg.norm(piece.vectors, axis=1)
                distances = 1 - nearest_similarity(piece.vectors / np.maximum(lengths, TINY)[:, None], known)
                distances[lengths <= TINY] = -np.inf  # silence is not new
                farthest = _farthest(store, piece, distances, sources.n, decided)
                best = best_apart([*best, *farthest], sources.n)
    return best


def _farthest(
    store: Embeddings, piece: EmbeddingPiece, distances: np.ndarray, n: int, decided: DecidedSounds
) -> Iterator[Suggestion]:
    """The farthest windows of a piece that do not overlap and were not decided about."""
    chosen: dict[int, list[float]] = {}
    n_left = SPARE * n
    for index in np.argsort(-distances, kind="stable"):
        recording, start, distance = int(piece.recordings[index]), float(piece.starts[index]), float(distances[index])
        near = chosen.setdefault(recording, [])
        if n_left == 0 or distance == -np.inf:
            return
        if all(abs(start - other) >= store.seconds for other in near):
            why = f"distance {distance:.3f} to training"
            one = window_suggestion(store, recording, start, distance, KIND, why)
            if not decided.covers(one):
                near.append(start)
                n_left -= 1
                yield one


RANKINGS.register(KIND, Ranking("windows of --store that are unlike all training windows", rank_novel))
