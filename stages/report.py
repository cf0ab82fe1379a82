"""Summarize a training database or a data set's annotations: tables to read here, and CSV files."""

from lib.config.command_line import run_stage, stage


@stage()
def report(
    database: str | None = None,
    annotations: str | None = None,
    format: str = "auto",
    output: str = "data/report",
) -> None:
    """Summarize a training database, or the annotations of a data set, or both.

    Of a database: recordings and segments of each class, also by recording, and spectrogram groups. Of annotations,
    with data.decisions applied: events, recordings and seconds of each class, also by recording, and which classes
    occur together.

    Examples:
        python -m stages.report                           of data/training.db
        python -m stages.report --annotations data/birds

    Args:
        database: training database; data/training.db if neither this nor annotations is given.
        annotations: folder of a data set (or the annotation file in it).
        format: of the data set; default: recognized by itself.
        output: folder to write class_summary.csv, class_details.csv and spec_groups.csv of the database, and
            annotation_summary.csv, annotation_recordings.csv, annotation_details.csv and annotation_together.csv to.
    """
    from pathlib import Path

    from lib.config.load import load_settings
    from lib.core.console import show_problems
    from lib.core.csv_files import write_table
    from lib.curation.data_overview import Tables, annotations_overview, database_overview

    tables: Tables = {}
    if database or not annotations:
        text, tables = database_overview(database or "data/training.db")
        print(text)
    if annotations:
        text, annotation_tables, problems = annotations_overview(annotations, format, load_settings().data.decisions)
        show_problems(problems)
        print(text)
        tables |= annotation_tables
    for name, table in tables.items():
        write_table(Path(output) / f"{name}.csv", table, "%.9g")
    print(f"\n{len(tables)} tables -> {output}")


if __name__ == "__main__":
    run_stage(report)
