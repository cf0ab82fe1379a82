"""Find the checkpoints that are best together: checkpoints + a labelled test set in → a table, and their copies."""

from lib.config import load_settings
from lib.console import run_stage, show_problems
from lib.errors import SettingsError


def ensemble(
    models: str = "data/models",
    size: int = 3,
    smaller: bool = False,
    metric: str = "macro_pr_auc",
    trials: int = 200,
    recordings: str | None = None,
    annotations: str | None = None,
    scores: str | None = None,
    output: str | None = None,
    report: str = "data/ensemble.csv",
    keep: str = ".cache/scores",
    params: str = "params.yaml",
    **overrides,
) -> None:
    """Find the ensemble of checkpoints that is best on data.test, or on other recordings.

    What is chosen on the test set looks better on it than it is: keep recordings apart to choose by, give them with
    --recordings and --annotations, and test what comes of it on others.

    Args:
        models: folder of checkpoints, or several, separated by commas.
        size: how many checkpoints the ensemble has.
        smaller: try all smaller sizes, too.
        metric: what is compared: macro_pr_auc, micro_pr_auc, macro_roc_auc, micro_roc_auc, precision, recall, f1,
            best_f1 or accuracy.
        trials: how many ensembles of a size to try; where there are no more, all are tried.
        recordings: folder of recordings to compare ensembles by, with --annotations; default: data.test.
        annotations: CSV file that says what is in them (recording, class, start_time, end_time).
        scores: instead of models, folders that infer wrote for these recordings, one for each model, separated by
            commas.
        output: empty folder to copy the best checkpoints to, which is then a model for infer.
        report: CSV file with all ensembles that were tried, best first, and intervals of the best of each size.
        keep: folder in which each model's scores are kept for another run, up to 30 days after the last one.
        params: settings file.
        overrides: any setting, as --key (of evaluate) or --section.key; for example --data.test.path DIR.
    """
    settings = load_settings(params, overrides, section="evaluate")
    if size < 1 or trials < 1:
        raise SettingsError("size and trials must be at least 1")
    if scores and output:
        raise SettingsError("output needs models; scores are of models that are not given")
    if (recordings is None) != (annotations is None):
        raise SettingsError("--recordings and --annotations go together; give both or neither")
    from pathlib import Path

    from lib.datasets.contents import read_annotated, read_data_set
    from lib.evaluation import ensembles
    from lib.evaluation.model_scores import read_scores, score_models
    from lib.files import write_text
    from lib.models.files import model_files

    metric = ensembles.metric_name(metric)
    if output:
        ensembles.check_output(Path(output))
    sources = [Path(part) for part in (scores or models).split(",")]
    files = sources if scores else [file for source in sources for file in model_files(source)]
    if len(files) < size:
        raise SettingsError(f"size = {size}: only {len(files)} models are there; give more or a smaller size")

    test = read_annotated(recordings, annotations) if recordings and annotations else read_data_set(settings.data.test)
    scored, problems = (read_scores if scores else score_models)(files, test, settings, keep)
    show_problems([*test.problems, *problems])
    sizes = range(1 if smaller else size, size + 1)
    found = ensembles.find(scored, sizes, metric, trials, settings.evaluate)
    table = ensembles.ensemble_table(found, scored.names)
    write_text(report, table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    best = found.tried[0]
    if output:
        ensembles.copy_models([files[index] for index in best.models], Path(output))
    low, high = found.intervals[best.models]
    print(f"{len(found.tried)} ensembles of {len(files)} models -> {report}")
    print(f"best {metric}: {best.score:.4f} ({low:.3f} to {high:.3f})" + (f" -> {output}" if output else ""))
    for index in best.models:
        print(f"  {scored.names[index]}")


if __name__ == "__main__":
    run_stage(ensemble)
