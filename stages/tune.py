"""Find good settings: tune.space, training data and annotated recordings -> the best values, reports in data/tuning."""

from lib.config import load_settings
from lib.console import run_stage, say, show_problems
from lib.errors import SettingsError


def tune(
    recordings: str | None = None,
    annotations: str | None = None,
    space: str | None = None,
    model: str | None = None,
    classes: str | None = None,
    extract: bool = False,
    output: str = "data/tuning",
    database: str = "data/training.db",
    params: str = "params.yaml",
    **overrides,
) -> None:
    """Try combinations of settings, show them from the best to the worst, and say how to train with the best.

    Models are compared on data.test unless you give other recordings. Values that are chosen on the test set look
    better on it than they are: keep recordings apart for tuning, and test what comes of it on others.

    A search that was stopped goes on. The same command on several machines shares the work, if tune.storage is a
    database that all of them reach.

    Args:
        recordings: folder of recordings to compare models by, with --annotations; default: data.test.
        annotations: CSV file that says what is in them (recording, class, start_time, end_time).
        space: YAML file with a list of parameters, used instead of tune.space.
        model: checkpoint, or folder of them, to use as it is; only settings of inference can vary then.
        classes: CSV file (column name) of the classes to train with, whose windows are extracted for the search.
        extract: extract windows for the search instead of using the database; implied where settings of audio vary.
        output: folder for metrics-summary.csv, metrics-details.csv and tuning.png; what the search makes for itself is
            in its folder work, and can be removed when no search is on.
        database: training database that the extract stage wrote.
        params: settings file.
        overrides: any setting, for example --trials 8 --runs 2 --metric=combo_pr.
    """
    if space is not None:
        overrides["tune.space"] = _read(space)
    settings = load_settings(params, overrides, section="tune")
    if (recordings is None) != (annotations is None):
        raise SettingsError("--recordings and --annotations go together; give both or neither")
    from lib.training.space import read_space
    from lib.training.tuner import check_metric

    metric, parameters = settings.tune.metric, read_space(settings.tune.space)
    check_metric(metric)
    from pathlib import Path

    from lib.datasets.contents import read_annotated, read_data_set
    from lib.files import without_password
    from lib.tracking.trials import choose_source
    from lib.tracking.tuner import tune as search
    from lib.tracking.tuning_report import arguments, describe, table

    test = read_annotated(recordings, annotations) if recordings and annotations else read_data_set(settings.data.test)
    chosen_model, chosen_classes = (Path(path) if path else None for path in (model, classes))
    source = choose_source(parameters, settings, chosen_model, Path(database), extract, chosen_classes)
    found = search(
        *(settings, test, source, Path(output), Path(output) / "work", parameters),
        on_trial=lambda trial: say(describe(trial, metric)),
    )
    show_problems(found.problems)
    print(table(found.trials, metric))
    best = arguments(found.best_values)
    print(f"\nbest {metric}: {found.best_score:.4f}" + (f"; use it with: dvc exp run {best}" if best else ""))
    place = without_password(settings.tune.storage)
    print(f"{len(found.trials)} trials of study {found.study!r} in {place} -> {output}")


def _read(file: str) -> str:
    from pathlib import Path

    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8"
        raise SettingsError(f"{file}: cannot be read ({reason}); give a YAML file like tune.space") from None


if __name__ == "__main__":
    run_stage(tune)
