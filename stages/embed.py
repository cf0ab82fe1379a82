"""Compute embeddings, which make sounds comparable: recordings + model -> a store, or into the training database."""

from lib.config.command_line import run_stage, stage
from lib.config.schema import Settings
from lib.core.console import show_problems
from lib.core.errors import EarshotError, SettingsError


@stage("infer")
def embed(
    settings: Settings,
    recordings: str | None = None,
    output: str = "data/embeddings.db",
    model: str = "data/models",
    database: str | None = None,
    class_name: str | None = None,
    spec_group: str = "default",
    table: str | None = None,
) -> None:
    """Compute the embeddings of recordings, window by window, for the search stage and for other programs.

    Recordings whose embeddings are in the store already cost nothing; an interrupted run resumes.

    Args:
        recordings: a recording, a folder of them, or a text file (.txt) with one of these a line.
        output: store to write (SQLite); what it holds of other recordings stays in it.
        model: checkpoint, or folder of checkpoints whose embeddings are averaged.
        database: instead of recordings, a training database, whose spectrograms get their embeddings; give it a copy
            of a database of the pipeline, or `dvc repro` would find that file changed.
        class_name: only spectrograms of that class of the database (any of its names or codes).
        spec_group: only spectrograms of that group of the database.
        table: Parquet file to write all of the store to: recording, path, start_time, end_time, embedding.
    """
    if (recordings is None) == (database is None):
        raise SettingsError("embed", "give either --recordings or --database, to say what to embed")
    from pathlib import Path

    from lib.curation.database_embeddings import embed_database
    from lib.curation.embedding_store import EmbeddingStore
    from lib.curation.recording_embeddings import embed_recordings, write_parquet
    from lib.sound.recordings import recordings_of

    if recordings is None:
        print(f"{embed_database(str(database), model, settings, spec_group, class_name)} spectrograms -> {database}")
        return
    files, problems = recordings_of(recordings)
    outcome = embed_recordings(files, model, settings, Path(output))
    show_problems([*problems, *outcome.problems])
    n, n_failed = len(files), len(outcome.failed)
    with EmbeddingStore(output, files) as store:
        windows = f"{store.count()} windows of {store.seconds:g} s, {store.dim} dimensions"
    print(f"{n - n_failed} of {n} recordings ({len(outcome.new)} new), {windows} -> {output}")
    if table is not None:
        print(f"{write_parquet(output, table)} rows -> {table}")
    if n_failed == n or (settings.infer.strict and n_failed):
        raise EarshotError(output, f"{n_failed} of {n} recordings could not be read", "see above")


if __name__ == "__main__":
    run_stage(embed)
