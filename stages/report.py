"""Summarize a training database or a data set's annotations: tables to read here, and CSV files."""

from typing import TYPE_CHECKING

from lib.config import DataSet, load_settings
from lib.console import run_stage, show_problems

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS, MOST_PAIRS = 60, 12
"""Rows of a table, and of one of pairs, that are shown; its file has all."""


def report(
    database: str | None = None,
    annotations: str | None = None,
    format: str | None = None,
    output: str = "data/report",
    params: str = "params.yaml",
    **overrides,
) -> None:
    """Summarize a training database, or the annotations of a data set, or both.

    Of a database: recordings and segments of each class, also by recording, and spectrogram groups. Of annotations:
    events, recordings and seconds of each class, also by recording, and which classes occur together.

    Args:
        database: training database; data/training.db if neither this nor annotations is given.
        annotations: folder of a data set (or the annotation file in it).
        format: of the data set; default: recognized by itself.
        output: folder to write class_summary.csv, class_details.csv and spec_groups.csv of the database, and
            annotation_summary.csv, annotation_recordings.csv, annotation_details.csv and annotation_together.csv to.
        params: settings file.
        overrides: any setting, as --section.key.
    """
    if annotations:
        overrides |= {"data.test.path": annotations, "data.test.format": format or "auto", "data.test.include": None}
    settings = load_settings(params, overrides)
    tables: dict[str, pd.DataFrame] = {}
    if database or not annotations:
        tables |= _database(database or "data/training.db")
    if annotations:
        tables |= _annotations(settings.data.test)
    from pathlib import Path

    from lib.files import write_text

    for name, table in tables.items():
        text = table.to_csv(index=False, float_format="%.9g", lineterminator="\n")
        write_text(Path(output) / f"{name}.csv", text)
    print(f"\n{len(tables)} tables -> {output}")


def _database(path: str) -> "dict[str, pd.DataFrame]":
    from lib.database.provider import TrainingDataProvider
    from lib.database.training_database import TrainingDatabase

    with TrainingDatabase(path, create=False) as db:
        provider = TrainingDataProvider(db)
        summary, details = provider.class_info()
        groups = provider.spec_group_info()
        recordings = db.get_recording()
        n_segments, n_labelled = db.get_segment_count(), len(provider.segment_class_dict())
    hours = sum(recording.seconds for recording in recordings) / 3600
    print(f"{path}: {len(recordings)} recordings, {hours:.2f} h")
    print(f"{n_segments} segments, {n_segments - n_labelled} of them background, without any class\n")
    _show(summary)
    print()
    _show(groups)
    return {"class_summary": summary, "class_details": details, "spec_groups": groups}


def _annotations(data_set: DataSet) -> "dict[str, pd.DataFrame]":
    from pathlib import Path

    from lib.datasets.contents import read_data_set
    from lib.datasets.summary import summarize

    path = Path(data_set.path)
    data_set.path = str(path.parent if path.is_file() else path)
    contents = read_data_set(data_set)
    summary, problems = summarize(contents)
    show_problems([*contents.problems, *problems])
    duration, annotated = summary.recordings[["duration", "annotated"]].sum()
    without = int((summary.recordings["events"] == 0).sum())
    print(
        f"{data_set.path}: {len(summary.recordings)} recordings, {duration / 60:.1f} min, {without} without any event"
    )
    print(f"{summary.classes['events'].sum()} events, {annotated / 60:.1f} min in which at least one class sounds\n")
    _show(summary.classes)
    if len(summary.together):
        print("\nClasses that share recordings, and seconds in which both sound:")
        _show(summary.together, MOST_PAIRS)
    return {
        "annotation_summary": summary.classes,
        "annotation_recordings": summary.recordings,
        "annotation_details": summary.details,
        "annotation_together": summary.together,
    }


def _show(table: "pd.DataFrame", most: int = MOST_ROWS) -> None:
    from lib.console import table_text

    print(table_text(table.head(most).to_dict("list")))
    if len(table) > most:
        print(f"... and {len(table) - most} more")


if __name__ == "__main__":
    run_stage(report)
