"""Find good settings: tune.space, training data and annotated recordings -> the best values, reports in data/tuning."""

from lib.config.command_line import run_stage, stage
from lib.config.schema import Settings
from lib.core.console import show_problems
from lib.core.wording import counted


@stage("tune")
def tune(
    settings: Settings,
    recordings: str | None = None,
    annotations: str | None = None,
    space: str | None = None,
    model: str | None = None,
    classes: str | None = None,
    extract: bool = False,
    output: str = "data/tuning",
    database: str = "data/training.db",
    again: bool = False,
) -> None:
    """Try combinations of settings, show them from the best to the worst, and say how to train with the best.

    Models are compared on data.test unless you give other recordings. Values that are chosen on the test set look
    better on it than they are: keep recordings apart for tuning, and test what comes of it on others.

    An interrupted search resumes. The same command on several machines shares the work, if tune.storage is a database
    that all of them reach; what a machine leaves when it dies, another takes over after a minute. A combination whose
    process died three times is left out.

    Examples:
        python -m stages.tune --space space.yaml          which names settings and their values, like tune.space
        python -m stages.tune --space space.yaml --trials 20 --runs 3
        python -m stages.tune --model data/models --space thresholds.yaml

    Args:
        recordings: folder of recordings to compare models by, with --annotations; default: data.test.
        annotations: CSV file that says what is in them (recording, class, start_time, end_time).
        space: YAML file with a list of parameters, used instead of tune.space.
        model: checkpoint, folder of checkpoints, or registry:NAME@ALIAS or registry:NAME/VERSION, to use as it is; only
            settings of inference can vary then.
        classes: CSV file (column name) of the classes to train with, whose windows are extracted for the search.
        extract: extract windows for the search instead of using the database; implied where settings of audio vary.
        output: folder for metrics-summary.csv, metrics-details.csv and tuning.png; its folder work holds models, and
            can be removed while no search is running.
        database: training database that the extract stage wrote.
        again: also try combinations that were left out because their process died.
    """
    from pathlib import Path

    from lib.core.files import without_password
    from lib.formats.data_sets import evaluation_data_set
    from lib.tracking.registry.registered_inputs import chosen_model, with_start_model
    from lib.tuning.search_space import read_space, read_space_file
    from lib.tuning.trials import choose_source
    from lib.tuning.tuner import tune_settings
    from lib.tuning.tuning_report import arguments, trial_line, trial_table

    metric, parameters = settings.tune.metric, read_space(read_space_file(space) if space else settings.tune.space)
    test = evaluation_data_set(settings.data, settings.evaluate.min_seconds, recordings, annotations)
    settings, _ = with_start_model(settings)
    model_path = chosen_model(model, settings.tracking).path if model else None
    class_path = Path(classes) if classes else None
    source = choose_source(parameters, settings, model_path, Path(database), extract, class_path)
    tuning = tune_settings(
        *(settings, test, source, Path(output), Path(output) / "work", parameters),
        again=again,
        on_trial=lambda trial: print(trial_line(trial, metric), flush=True),
    )
    show_problems(tuning.problems)
    print(trial_table(tuning.trials, metric))
    best = arguments(tuning.best.values)
    print(f"\nbest {metric}: {tuning.best.score(metric):.4f}" + (f"; use it with: dvc exp run {best}" if best else ""))
    storage = without_password(settings.tune.storage)
    print(f"{counted(len(tuning.trials), 'trial')} of study {tuning.study!r} in {storage} -> {output}")


if __name__ == "__main__":
    run_stage(tune)
