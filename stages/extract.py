"""Cut labelled recordings into windows and store their spectrograms: data.train -> data/training.db."""

from dataclasses import asdict

from lib.config import Settings, load_settings
from lib.console import run_stage, show_problems
from lib.errors import EarshotError


def extract(
    database: str = "data/training.db",
    metrics: str = "metrics/extract.json",
    spec_group: str | None = None,
    replace: bool = False,
    params: str = "params.yaml",
    **overrides,
) -> None:
    """Cut labelled recordings into windows and store their spectrograms in the training database.

    Recordings that the database holds already cost nothing; a run that was stopped goes on where it was.

    Args:
        database: SQLite file to write.
        metrics: report to write: counts, windows of each class, failed files with reasons, digest of the rows.
        spec_group: only make spectrograms of the segments that the database holds, as the audio settings say now, and
            keep them beside the others in a group of that name; train.spec_group chooses one to train with.
        replace: with spec_group, make those of a group that has other audio settings anew.
        params: settings file.
        overrides: any setting, for example --min_seconds=0.5 or --data.train.path=DIR.
    """
    settings = load_settings(params, overrides, section="extract")
    if spec_group is not None:
        _fill_group(settings, database, spec_group, replace)
        return
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


def _fill_group(settings: Settings, database: str, spec_group: str, replace: bool) -> None:
    from lib.database.spec_groups import reextract
    from lib.database.training_database import TrainingDatabase

    with TrainingDatabase(database, create=False) as db:
        folder, workers = settings.data.train.path, settings.extract.workers
        n_made, problems = reextract(db, settings.audio, spec_group, folder, replace, workers)
        db.optimize()
    show_problems(problems)
    print(f"{n_made} spectrograms made, {len(problems)} recordings passed over -> {database}, group {spec_group}")
    if problems and settings.extract.strict:
        raise EarshotError("stopped because extract.strict is set; see the lines above")


if __name__ == "__main__":
    run_stage(extract)
