"""Find the checkpoints that are best together: checkpoints + a labelled test set in → a table, and their copies."""

from lib.config import load_settings
from lib.console import progress, run_stage, show_problems
from lib.errors import SettingsError


def ensemble(
    models: str = "data/models",
    size: int = 3,
    smaller: bool = False,
    metric: str = "macro_pr_auc",
    trials: int = 200,
    scores: str | None = None,
    output: str | None = None,
    report: str = "data/ensemble.csv",
    keep: str = ".cache/scores",
    params: str = "params.yaml",
    **overrides,
) -> None:
    """Find the ensemble of checkpoints that is best on data.test.

    Args:
        models: folder of checkpoints, or several, separated by commas.
        size: how many checkpoints the ensemble has.
        smaller: try all smaller sizes, too.
        metric: what is compared: macro_pr_auc, micro_pr_auc, macro_roc_auc, micro_roc_auc, precision, recall, f1,
            best_f1 or accuracy.
        trials: how many ensembles of a size to try; where there are no more, all are tried.
        scores: instead of models, folders that infer wrote for data.test, one for each model, separated by commas.
        output: empty folder to copy the best checkpoints to, which is then a model for infer.
        report: CSV file with all ensembles that were tried, best first, and intervals of the best of each size.
        keep: folder in which each model's scores are kept, for another run.
        params: settings file.
        overrides: any setting, as --key (of evaluate) or --section.key; for example --data.test.path DIR.
    """
    settings = load_settings(params, overrides, section="evaluate")
    if size < 1 or trials < 1:
        raise SettingsError("size and trials must be at least 1")
    if scores and output:
        raise SettingsError("output needs models; scores are of models that are not given")
    from pathlib import Path

    from lib.datasets.contents import read_data_set
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

    contents = read_data_set(settings.data.test)
    found, problems = (read_scores if scores else score_models)(files, contents, settings, keep)
    show_problems([*contents.problems, *problems])
    chosen, sizes = settings.evaluate, range(1 if smaller else size, size + 1)
    trial = ensembles.search(
        len(files), sizes, trials, lambda models: ensembles.evaluate_ensemble(found, models, metric, chosen.threshold)
    )
    total = ensembles.n_trials(len(files), sizes, trials)
    tried = ensembles.ranked(progress(trial, "ensemble", total, unit="ensembles"))
    leaders = {len(entry.models): entry.models for entry in reversed(tried)}.values()
    intervals = {
        models: ensembles.interval_of(found, models, metric, chosen.threshold, chosen.bootstrap, chosen.seed)
        for models in leaders
    }
    table = ensembles.ensemble_table(tried, found.names, intervals)
    write_text(report, table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    best = tried[0]
    if output:
        ensembles.copy_models([files[index] for index in best.models], Path(output))
    low, high = intervals[best.models]
    print(f"{len(tried)} ensembles of {len(files)} models -> {report}")
    print(f"best {metric}: {best.score:.4f} ({low:.3f} to {high:.3f})" + (f" -> {output}" if output else ""))
    for index in best.models:
        print(f"  {found.names[index]}")


if __name__ == "__main__":
    run_stage(ensemble)
