"""Cut labelled recordings into windows and store their spectrograms: data.train -> data/training.db."""

import os
from dataclasses import asdict

from lib.config.command_line import run_stage, stage
from lib.config.schema import Settings
from lib.core.console import show_problems
from lib.core.errors import EarshotError


@stage("extract", "audio", "data.train")
def extract(
    settings: Settings,
    database: str = "data/training.db",
    metrics: str = "metrics/extract.json",
    spec_group: str | None = None,
    replace: bool = False,
) -> None:
    """Cut labelled recordings into windows and store their spectrograms in the training database.

    Recordings that are in the database already are not read again; an interrupted run resumes.

    Args:
        database: SQLite file to write.
        metrics: report to write: counts, windows of each class, failed files with reasons, digest of the rows.
        spec_group: only make spectrograms of the segments in the database, with the present audio settings, in a group
            of that name beside the others; train.spec_group chooses one to train with.
        replace: with spec_group, replace the spectrograms of a group that has other audio settings.
    """
    if spec_group is not None:
        _fill_group(settings, database, spec_group, replace)
        return
    from lib.core.files import write_json
    from lib.formats.data_sets import read_data_set
    from lib.training_data.extraction import extract_windows

    data_set = read_data_set(settings.data.train)
    is_in_pipeline = "DVC_STAGE" in os.environ  # DVC reads and copies the whole file anyway
    report, n_new, problems = extract_windows(data_set, settings.audio, settings.extract, database, is_in_pipeline)
    show_problems(problems)
    write_json(metrics, asdict(report))
    recordings = f"{report.recordings} recordings ({n_new} new or changed, {len(report.failed)} failed)"
    print(f"{recordings}, {report.windows} windows, {report.background_windows} of them background -> {database}")


def _fill_group(settings: Settings, database: str, spec_group: str, replace: bool) -> None:
    from lib.training_data.spec_groups import reextract
    from lib.training_data.training_database import TrainingDatabase

    with TrainingDatabase(database, create=False) as db:
        folder, workers = settings.data.train.path, settings.extract.workers
        n_made, problems = reextract(db, settings.audio, spec_group, folder, replace, workers)
        db.optimize()
    show_problems(problems)
    print(f"{n_made} spectrograms made, {len(problems)} recordings passed over -> {database}, group {spec_group}")
    if problems and settings.extract.strict:
        raise EarshotError("", "stopped because extract.strict is set", "see the lines above")


if __name__ == "__main__":
    run_stage(extract)
