"""Compute embeddings, which make sounds comparable: recordings + model -> a store, or into the training database."""

from lib.config.command_line import run_stage, stage
from lib.config.schema import Settings
from lib.core.console import show_problems
from lib.core.errors import EarshotError, SettingsError
from lib.core.wording import counted


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

    Examples:
        python -m stages.embed --recordings /media/field
        python -m stages.embed --recordings /media/field --table embeddings.parquet
        python -m stages.embed --database data/copy.db    of the training windows, for search --database

    Args:
        recordings: a recording, a folder of them, or a list of these: a text file (.txt), or
            a table (.csv) with the column file.
        output: store to write (SQLite); what it holds of other recordings stays in it.
        model: checkpoint, folder of checkpoints whose embeddings are averaged, or registry:NAME@ALIAS or
            registry:NAME/VERSION.
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
    from lib.tracking.registry.registered_inputs import chosen_model

    model = str(chosen_model(model, settings.tracking).path)
    if recordings is None:
        n = embed_database(str(database), model, settings, spec_group, class_name)
        print(f"{counted(n, 'spectrogram')} -> {database}")
        return
    files, problems = recordings_of(recordings)
    show_problems(problems)
    if settings.infer.strict and any(problem.lost for problem in problems):
        raise EarshotError("", "stopped because infer.strict is set", "see the lines above")
    outcome = embed_recordings(files, model, settings, Path(output))
    show_problems(outcome.problems)
    n, n_failed = len(files), len(outcome.failed)
    with EmbeddingStore(output, files) as store:
        windows = f"{counted(store.count(), 'window')} of {store.seconds:g} s, {store.dim} dimensions"
    print(f"{n - n_failed:,} of {counted(n, 'recording')} ({len(outcome.new)} new), {windows} -> {output}")
    if table is not None:
        print(f"{counted(write_parquet(output, table), 'row')} -> {table}")
    if n_failed == n or (settings.infer.strict and n_failed):
        raise EarshotError(output, f"{n_failed} of {counted(n, 'recording')} could not be read", "see the lines above")


if __name__ == "__main__":
    run_stage(embed)
