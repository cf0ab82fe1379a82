"""Search by example: a sound -> the most similar windows of recordings, as a table and as pictures."""

from lib.config.command_line import run_stage, stage
from lib.config.load import read_seconds
from lib.config.schema import Settings
from lib.core.console import show_problems
from lib.core.errors import SettingsError
from lib.core.wording import counted


@stage("infer")
def search(
    settings: Settings,
    query: str,
    start: str | None = None,
    end: str | None = None,
    store: str = "data/embeddings.db",
    recordings: str | None = None,
    database: str | None = None,
    class_name: str | None = None,
    spec_group: str = "default",
    output: str = "data/search",
    model: str = "data/models",
    max: int = 20,
    distinct: bool = False,
    exact: bool = False,
    plot: bool = False,
) -> None:
    """Find the windows of recordings that sound most like a given one; results.csv in the output folder lists them.

    The query itself is not among them, and a sound that several overlapping windows show is listed once. A large store
    gets an index beside it (STORE.index), which takes minutes once and is then kept up to date; it may miss a few.

    Examples:
        python -m stages.search call.wav --recordings /media/field --plot
        python -m stages.search dawn --start 1:05 --max 50 --distinct

    Args:
        query: a recording with the sound, or the name of a recording in the store.
        start: where the sound begins in it, seconds or m:ss; default: at the loudest window.
        end: where it ends; default: a window after the start.
        store: embeddings to search, written by the embed stage.
        recordings: search only these: a recording, folder or list (.txt, .csv); the store first gets those that it
            lacks.
        database: search a training database instead, whose spectrograms have embeddings (embed --database).
        class_name: only spectrograms of that class of the database (any of its names or codes).
        spec_group: only spectrograms of that group of the database.
        output: folder to write to.
        model: what the embeddings were made by: checkpoint, folder of checkpoints, or registry:NAME@ALIAS or
            registry:NAME/VERSION.
        max: number of windows to list, at most.
        distinct: list one window of each recording.
        exact: compare with each window instead of using an index.
        plot: write a picture of each window, <recording>-<start>.png, which Extractor.extract_by_image reads.
    """
    if recordings is not None and database is not None:
        raise SettingsError("search", "give --recordings or --database, not both, to say what to search")
    if max < 1:
        raise SettingsError(f"--max {max}", "must be 1 or more")
    first = None if start is None else read_seconds("--start", start)
    last = None if end is None else read_seconds("--end", end)
    from pathlib import Path

    from lib.curation.database_embeddings import DatabaseEmbeddings
    from lib.curation.embedding_store import Embeddings, EmbeddingStore
    from lib.curation.recording_embeddings import embed_recordings
    from lib.curation.search_results import show_matches, write_matches
    from lib.curation.similarity_search import search_sound
    from lib.sound.recordings import recordings_of
    from lib.tracking.registry.registered_inputs import chosen_model

    model = str(chosen_model(model, settings.tracking).path)
    embeddings: Embeddings
    if database is not None:
        embeddings = DatabaseEmbeddings(database, spec_group, class_name)
    elif recordings is not None:
        files, problems = recordings_of(recordings)
        outcome = embed_recordings(files, model, settings, Path(store))
        show_problems([*problems, *outcome.problems])
        embeddings = EmbeddingStore(store, files)
    else:
        embeddings = EmbeddingStore(store)
    with embeddings:
        result = search_sound(embeddings, query, first, last, model, settings, max, distinct, exact)
        show_problems(write_matches(result.matches, embeddings, Path(output), plot))
    print(show_matches(result.matches))
    speed = f"{result.seconds:.2f} s ({result.windows / result.seconds:,.0f} windows/s)"
    print(f"{len(result.matches)} of {counted(result.windows, 'window')}, in {speed} -> {output}")


if __name__ == "__main__":
    run_stage(search)
