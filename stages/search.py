"""Search by example: a sound -> the most similar windows of recordings, as a table and as pictures."""

from lib.config import load_settings
from lib.console import progress, run_stage, show_problems
from lib.errors import SettingsError

RESULTS = "results.csv"


def search(
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
    plot: bool = False,
    params: str = "params.yaml",
    **overrides,
) -> None:
    """Find the windows of recordings that sound most like a given one; results.csv in the output folder lists them.

    The query itself is not among them, and a sound that several overlapping windows show is listed once.

    Args:
        query: a recording with the sound, or the name of a recording in the store.
        start: where the sound begins in it, seconds or m:ss; default: at the loudest window.
        end: where it ends; default: a window behind the start.
        store: embeddings to search, written by the embed stage.
        recordings: search only these: a recording, folder or list (.txt); the store gets those that it lacks first.
        database: search a training database instead, whose spectrograms have embeddings (embed --database).
        class_name: only spectrograms of that class of the database.
        spec_group: only spectrograms of that group of the database.
        output: folder to write to.
        model: the checkpoint, or folder of checkpoints, that the embeddings were made by.
        max: number of windows to list.
        distinct: list one window of a recording.
        plot: write a picture of each window, <recording>-<start>.png, which Extractor.extract_by_image understands.
        params: settings file.
        overrides: any setting of infer.
    """
    settings = load_settings(params, overrides, section="infer")
    if recordings is not None and database is not None:
        raise SettingsError("give --recordings or --database, not both: what to search")
    if max < 1:
        raise SettingsError(f"--max {max}: must be 1 or more")
    first, last = _seconds("start", start), _seconds("end", end)
    import time
    from pathlib import Path

    from lib.inference.database_embeddings import DatabaseEmbeddings
    from lib.inference.embedding_store import WINDOWS_A_PIECE, EmbeddingStore
    from lib.inference.embeddings import check_model, embed_recordings
    from lib.inference.inputs import recordings_of
    from lib.inference.predictor import Predictor
    from lib.inference.search import make_query, show_matches, write_matches
    from lib.inference.search import search as find
    from lib.inference.search_images import remove_images, write_images

    names, folder = None, Path(output)
    if recordings is not None:
        names, problems = recordings_of(recordings)
        show_problems([*problems, *embed_recordings(names, model, settings, Path(store)).problems])
    with DatabaseEmbeddings(database, spec_group, class_name) if database else EmbeddingStore(store, names) as source:
        if isinstance(source, EmbeddingStore):
            check_model(source, model)
        wanted = make_query(query, source, Predictor(model, settings.infer.device, settings), first, last)
        total, began = source.count(), time.monotonic()
        pieces = progress(source.pieces(), "search", 1 + total // WINDOWS_A_PIECE, "blocks")
        matches = find(source, pieces, wanted, max, distinct)
        seconds = time.monotonic() - began
        remove_images(folder, folder / RESULTS)
        write_matches(folder / RESULTS, matches)
        if plot:
            done = progress(write_images(matches, source, folder), "plot", len(matches), "pictures")
            show_problems(problem for problem in done if problem)
    print(show_matches(matches))
    print(f"{len(matches)} of {total:,} windows, in {seconds:.2f} s ({total / seconds:,.0f} windows/s) -> {output}")


def _seconds(flag: str, text: str | None) -> float | None:
    """Seconds of a time like 83.5, 1:23.5 or 1:02:03."""
    if text is None:
        return None
    try:
        parts = [float(part) for part in str(text).split(":")]
    except ValueError:
        parts = [-1.0]
    if any(part < 0 for part in parts) or len(parts) > 3:
        raise SettingsError(f"--{flag} {text}: is no time; give seconds, m:ss or h:mm:ss")
    return sum(part * 60**place for place, part in enumerate(reversed(parts)))


if __name__ == "__main__":
    run_stage(search)
