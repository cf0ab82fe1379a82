"""Cut labelled recordings into windows and store their spectrograms: data.train -> data/training.db."""

import os
from dataclasses import asdict
from pathlib import Path

from lib.config.command_line import run_stage, stage
from lib.config.schema import Settings
from lib.core.console import show_problems
from lib.core.errors import EarshotError, Problem
from lib.core.wording import counted


@stage("extract", "audio", "data.train")
def extract(
    settings: Settings,
    database: str = "data/training.db",
    metrics: str = "metrics/extract.json",
    spec_group: str | None = None,
    replace: bool = False,
) -> None:
    """Cut labelled recordings into windows and store their spectrograms, and with extract.sound their sound, in the
    training database.

    Recordings that are in the database already are not read again; an interrupted run resumes.

    Examples:
        python -m stages.extract --data.train.path data/birds
        python -m stages.extract --profile bats --data.train.path data/bats --database data/bats.db
        python -m stages.extract --spec_group fine --audio.spec_height 128

    Args:
        database: SQLite file to write.
        metrics: report to write: counts, windows of each class, failed files with reasons, digest of the rows.
        spec_group: only make spectrograms of the segments in the database, with the present audio settings, in a group
            of that name beside the others; train.spec_group chooses one to train with. With extract.sound, group
            default also gets the sound that segments lack, such as those that were inserted by hand.
        replace: with spec_group, replace the spectrograms of a group that has other audio settings.
    """
    if spec_group is not None:
        _fill_group(settings, database, spec_group, replace)
        return
    from lib.core.files import write_json
    from lib.core.incremental import check_that_all_was_read
    from lib.formats.data_sets import folder_of, read_training_set
    from lib.training_data.extraction import extract_windows

    train = settings.data.train
    data_set = read_training_set(settings.data, settings.extract.min_seconds)
    is_in_pipeline = "DVC_STAGE" in os.environ  # DVC reads and copies the whole file anyway
    report, n_new, problems = extract_windows(data_set, settings.audio, settings.extract, database, is_in_pipeline)
    if is_in_pipeline and folder_of(train) != Path(train.path):
        setting, remedy = (
            f"data.train.path = {train.path!r}",
            "give the table's folder, or a change of a clip starts no stage",
        )
        problems.append(Problem(setting, "dvc watches the table alone", remedy, lost=False))
    show_problems(problems)
    write_json(metrics, asdict(report))
    recordings = f"{counted(report.recordings, 'recording')} ({n_new} new or changed, {len(report.failed)} failed)"
    windows = f"{counted(report.windows, 'window')}, {report.background_windows:,} of them background"
    print(f"{recordings}, {windows} -> {database}")
    check_that_all_was_read(problems)


def _fill_group(settings: Settings, database: str, spec_group: str, replace: bool) -> None:
    from lib.core.locks import sole_writer
    from lib.formats.data_sets import folder_of
    from lib.training_data.spec_groups import reextract
    from lib.training_data.training_database import TrainingDatabase

    with sole_writer(database), TrainingDatabase(database, create=False) as db:
        folder, workers = folder_of(settings.data.train), settings.extract.workers
        n_made, problems = reextract(db, settings.audio, spec_group, folder, replace, workers, settings.extract.sound)
        db.optimize()
    show_problems(problems)
    made, left_out = counted(n_made, "spectrogram"), counted(len(problems), "recording")
    print(f"{made} made, {left_out} passed over -> {database}, group {spec_group}")
    if problems and settings.extract.strict:
        raise EarshotError("", "stopped because extract.strict is set", "see the lines above")


if __name__ == "__main__":
    run_stage(extract)
