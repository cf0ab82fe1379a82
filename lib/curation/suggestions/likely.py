"""Windows of recordings to look at for a class, of which half most likely hold it and half are uncertain: see
lib.curation.class_search. Decide about them, rebuild the training database, and ask again."""

import numpy as np

from lib.core.errors import EarshotError, SettingsError
from lib.core.progress import progress
from lib.curation.class_search import fit_class_head, informative_windows, principal_components
from lib.curation.database_embeddings import DatabaseEmbeddings
from lib.curation.embedding_store import WINDOWS_A_PIECE, EmbeddingPiece, EmbeddingStore
from lib.curation.suggestion import DecidedSounds, Suggestion
from lib.curation.suggestions import RANKINGS, Ranking, SuggestionSources
from lib.curation.suggestions.embedded_windows import recording_of, training_embeddings
from lib.sound.classes import ClassList, resolved_class
from lib.training_data.stored_windows import StoredWindows

KIND = "likely"


def rank_likely(sources: SuggestionSources) -> list[Suggestion]:
    """Windows of the store, by how likely they hold sources.class_name, which is their score, 0..1.

    Raises SettingsError if no class or store is named, EarshotError if the training database has no such class, or it
    and the store have no embeddings by the same model.
    """
    if sources.class_name is None or sources.store is None:
        raise SettingsError("suggest likely", "needs --class and --store, to say what to look for and where")
    windows = StoredWindows(sources.database, sources.spec_group)
    classes = ClassList(windows.classes.fillna("").to_dict("records"))  # type: ignore[arg-type]
    name = resolved_class(classes, sources.class_name, sources.database)
    truth = windows.labels[:, list(windows.classes["name"]).index(name)]
    if not truth.any():
        raise EarshotError(sources.database, f"no window has the class {name}", "accept some, and extract again")
    labelled = training_embeddings(sources.database, sources.spec_group, windows)
    with EmbeddingStore(sources.store) as store:
        if labelled is None:
            with DatabaseEmbeddings(sources.database, sources.spec_group):
                pass  # raises what is missing
            raise EarshotError(sources.database, "has several recordings of one name", "rename them")
        with DatabaseEmbeddings(sources.database, sources.spec_group) as embeddings:
            if embeddings.models != store.models:
                fault = f"its embeddings were made by another model than those of {sources.database}"
                raise EarshotError(store.path, fault, "run the embed stage for both with the same model")
        mean, projection = principal_components(labelled)
        recordings, starts, features, decided = [], [], [], sources.decided(classes)
        for piece in progress(store.pieces(), "read", 1 + store.count() // WINDOWS_A_PIECE, "blocks"):
            is_open = undecided_windows(store, piece, decided, name)
            recordings.append(piece.recordings[is_open])
            starts.append(piece.starts[is_open])
            features.append((piece.vectors[is_open] - mean) @ projection)
        if not sum(map(len, starts)):
            return []
        pool, ids, times = np.concatenate(features), np.concatenate(recordings), np.concatenate(starts)
        rng = np.random.default_rng(sources.seed)
        scores = fit_class_head((labelled - mean) @ projection, truth, pool, rng).scores(pool)[:, 0]
        chosen: list[Suggestion] = []
        for index in informative_windows(scores, ids, times, store.seconds, sources.n):
            recording, start, score = recording_of(store, ids[index]), float(times[index]), float(scores[index])
            about = recording.name, recording.path, start, start + store.seconds, name, score, KIND
            chosen.append(Suggestion(*about, "accept" if score >= 0.5 else "", why=f"scores {score:.2f}"))
    return sorted(chosen, key=lambda one: (-one.score, *one.place))


def undecided_windows(store: EmbeddingStore, piece: EmbeddingPiece, decided: DecidedSounds, name: str) -> np.ndarray:
    """Which windows of a store were not decided about for a class, bool (n,): only they can be asked or presumed."""
    is_open = np.ones(len(piece.starts), bool)
    for recording in store.recordings(np.unique(piece.recordings).tolist()).values():
        if recording.name in decided:
            where = piece.recordings == recording.id
            starts = piece.starts[where]
            is_open[where] = ~decided.covers_windows(recording.name, starts, starts + store.seconds, name)
    return is_open


RANKINGS.register(KIND, Ranking("windows of --store that likely hold --class, or might", rank_likely))
