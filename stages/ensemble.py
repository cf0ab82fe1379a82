"""Find the checkpoints that are best together: checkpoints + a labelled test set -> a table, and their copies."""

from lib.config.command_line import run_stage, stage
from lib.config.schema import Settings
from lib.core.console import show_problems
from lib.core.errors import SettingsError
from lib.core.wording import counted


@stage("evaluate", "data.test")
def ensemble(
    settings: Settings,
    models: str = "data/models",
    size: int = 3,
    smaller: bool = False,
    metric: str = "macro_pr",
    trials: int = 200,
    recordings: str | None = None,
    annotations: str | None = None,
    scores: str | None = None,
    output: str | None = None,
    report: str = "data/ensemble.csv",
    keep: str = ".cache/scores",
) -> None:
    """Find the ensemble of checkpoints that is best on data.test, or on other recordings.

    What is chosen on the test set looks better on it than it is: keep recordings apart to choose by, give them with
    --recordings and --annotations, and test what comes of it on others.

    Examples:
        python -m stages.ensemble --models data/models,data/others --size 3
        python -m stages.ensemble --size 2 --smaller --recordings held-out --annotations held-out.csv --output data/best

    Args:
        models: checkpoint, folder of checkpoints, or registry:NAME@ALIAS or registry:NAME/VERSION; or several of these,
            separated by commas.
        size: how many checkpoints the ensemble has.
        smaller: also try all smaller sizes.
        metric: what is compared, for example macro_pr or best_f1; the message about an unknown name lists all.
        trials: how many ensembles of a size to try; if there are no more, all are tried.
        recordings: folder of recordings to compare ensembles by, with --annotations; default: data.test.
        annotations: CSV file that says what is in them (recording, class, start_time, end_time).
        scores: instead of models, folders that infer wrote for these recordings, one for each model, separated by
            commas.
        output: empty folder to copy the best checkpoints to, which is then a model for infer.
        report: CSV file with all ensembles that were tried, best first, and intervals of the best of each size.
        keep: folder in which each model's scores are kept for later runs, until 30 days after the last one.
    """
    if size < 1 or trials < 1:
        raise SettingsError("ensemble", "size and trials must be at least 1")
    if scores and output:
        raise SettingsError("--output", "needs models; with --scores there are none")
    from pathlib import Path

    from lib.core.csv_files import write_table
    from lib.formats.data_sets import evaluation_data_set
    from lib.models.model_files import model_files
    from lib.tracking.registry.registered_inputs import chosen_model
    from lib.tuning import ensembles
    from lib.tuning.model_scores import read_scores, score_models

    metric = ensembles.metric_name(metric)
    if output:
        ensembles.check_output(Path(output))
    if scores:
        files = [Path(part) for part in scores.split(",")]
    else:
        sources = [chosen_model(part, settings.tracking).path for part in models.split(",")]
        files = [file for source in sources for file in model_files(source)]
    if len(files) < size:
        fault = f"there are only {counted(len(files), 'model')}"
        raise SettingsError(f"size = {size}", fault, "give more, or a smaller size")

    test = evaluation_data_set(settings.data, settings.evaluate.min_seconds, recordings, annotations)
    scored, problems = (read_scores if scores else score_models)(files, test, settings, keep)
    show_problems([*test.problems, *problems])
    sizes = range(1 if smaller else size, size + 1)
    tried = ensembles.find_ensembles(scored, sizes, metric, trials, settings.evaluate)
    table = ensembles.ensemble_table(tried, scored.names)
    write_table(report, table)
    best = tried[0]
    if output:
        ensembles.copy_models([files[index] for index in best.models], Path(output))
    print(f"{counted(len(tried), 'ensemble')} of {counted(len(files), 'model')} -> {report}")
    interval = f"({best.low:.3f} to {best.high:.3f})"
    print(f"best {metric}: {best.score:.4f} {interval}" + (f" -> {output}" if output else ""))
    for index in best.models:
        print(f"  {scored.names[index]}")


if __name__ == "__main__":
    run_stage(ensemble)
