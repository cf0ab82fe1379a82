"""Search by example: a sound -> the most similar windows of recordings, as a table and as pictures."""

from lib.config import load_settings, read_seconds
from lib.console import run_stage, show_problems
from lib.errors import SettingsError


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
    first = None if start is None else read_seconds("--start", start)
    last = None if end is None else read_seconds("--end", end)
    from pathlib import Path

    from lib.curation.search import show_matches
    from lib.curation.search_run import find, open_source, write_found

    source, problems = open_source(store, recordings, database, spec_group, class_name, model, settings)
    show_problems(problems)
    with source:
        found = find(source, query, first, last, model, settings, max, distinct)
        show_problems(write_found(found, source, Path(output), plot))
    print(show_matches(found.matches))
    speed = f"{found.seconds:.2f} s ({found.windows / found.seconds:,.0f} windows/s)"
    print(f"{len(found.matches)} of {found.windows:,} windows, in {speed} -> {output}")


if __name__ == "__main__":
    run_stage(search)
