"""Cut labelled recordings into windows and store their spectrograms: data.train -> data/training.db."""

from dataclasses import asdict

from lib.config import load_settings
from lib.console import run_stage, show_problems


def extract(
    database: str = "data/training.db", metrics: str = "metrics/extract.json", params: str = "params.yaml", **overrides
) -> None:
    """Cut labelled recordings into windows and store their spectrograms in the training database.

    Recordings that the database holds already cost nothing; a run that was stopped goes on where it was.

    Args:
        database: SQLite file to write.
        metrics: report to write: counts, windows of each class, failed files with reasons, digest of the rows.
        params: settings file.
        overrides: any setting, for example --min_seconds=0.5 or --data.train.path=DIR.
    """
    settings = load_settings(params, overrides, section="extract")
    from lib.database.extraction import extract as extract_windows
    from lib.datasets.contents import read_data_set
    from lib.files import write_json

    contents = read_data_set(settings.data.train)
    report, extracted, problems = extract_windows(contents, settings.audio, settings.extract, database)
    show_problems(problems)
    write_json(metrics, asdict(report))
    print(
        f"{report.recordings} recordings ({extracted} new or changed, {len(report.failed)} failed), "
        f"{report.windows} windows, {report.background_windows} of them background -> {database}"
    )


if __name__ == "__main__":
    run_stage(extract)
