"""Compute embeddings, which make sounds comparable: recordings + model -> a store, or into the training database."""

from lib.config import load_settings
from lib.console import run_stage, show_problems
from lib.errors import EarshotError, SettingsError


def embed(
    recordings: str | None = None,
    output: str = "data/embeddings.db",
    model: str = "data/models",
    database: str | None = None,
    class_name: str | None = None,
    spec_group: str = "default",
    table: str | None = None,
    params: str = "params.yaml",
    **overrides,
) -> None:
    """Compute the embeddings of recordings, window by window, for the search stage and for other programs.

    Recordings whose embeddings stand in the store already cost nothing; a run that was stopped goes on.

    Args:
        recordings: a recording, a folder of them, or a text file (.txt) with one of these a line.
        output: store to write (SQLite); what it holds of other recordings stays in it.
        model: checkpoint, or folder of checkpoints whose embeddings are averaged.
        database: instead of recordings, a training database, whose spectrograms get their embeddings; since that
            changes the file, `dvc repro` would take a database of the pipeline for changed: give it a copy.
        class_name: only spectrograms of that class of the database.
        spec_group: only spectrograms of that group of the database.
        table: Parquet file to write all of the store to: recording, path, start_time, end_time, embedding.
        params: settings file.
        overrides: any setting of infer, for example --overlap=0.
    """
    settings = load_settings(params, overrides, section="infer")
    if (recordings is None) == (database is None):
        raise SettingsError("give either --recordings or --database: what to embed")
    from pathlib import Path

    from lib.curation.database_embeddings import embed_database
    from lib.curation.embeddings import embed_recordings, write_table
    from lib.inference.inputs import recordings_of

    if recordings is None:
        print(f"{embed_database(str(database), model, settings, spec_group, class_name)} spectrograms -> {database}")
        return
    found, problems = recordings_of(recordings)
    done = embed_recordings(found, model, settings, Path(output))
    show_problems([*problems, *done.problems])
    n_ok = done.recordings - done.failed
    windows = f"{done.windows} windows of {done.seconds:g} s, {done.dim} dimensions"
    print(f"{n_ok} of {done.recordings} recordings ({done.new} new), {windows} -> {output}")
    if table is not None:
        print(f"{write_table(output, table)} rows -> {table}")
    if not n_ok or (settings.infer.strict and done.failed):
        raise EarshotError(f"{output}: {done.failed} of {done.recordings} recordings could not be read; see above")


if __name__ == "__main__":
    run_stage(embed)
