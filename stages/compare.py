"""Compare two model runs: which sounds one finds and the other misses, class by class."""

from lib.config.command_line import run_stage, stage
from lib.config.schema import Settings
from lib.core.console import show_problems
from lib.core.errors import SettingsError


@stage("evaluate", "data.test")
def compare(
    settings: Settings,
    first: str,
    second: str,
    output: str = "metrics/comparison",
    recordings: str | None = None,
    annotations: str | None = None,
    iou: float = 0.5,
) -> None:
    """Compare two model runs on the recordings of data.test that both have analyzed.

    A recording whose content differs from what a run analyzed under its name is left out.

    Labels are matched one to one with annotated sounds of the same class; a sound is found where a label matches it.
    Differences are those of the second run less the first. Their 95 % intervals are of paired resampling: both runs
    are drawn together, recording by recording. Where an interval does not hold 0, the runs differ by more than
    the choice of recordings explains.

    Examples:
        python -m stages.compare data/labels data/field/other
        python -m stages.compare data/labels data/strict --iou 0.3 --output data/comparison
        python -m stages.compare data/a data/b --recordings /media/field --annotations checked.csv

    Args:
        first: folder of a model run, which the infer stage or ModelRun.create wrote.
        second: folder of another.
        output: folder to write to: sounds.csv (each annotated sound, and by which run it is found), classes.csv,
            comparison.json (all classes together) and comparison.png.
        recordings: instead of data.test, a folder of recordings; only with --annotations.
        annotations: CSV file of recording, class, start_time, end_time.
        iou: least intersection over union of a label and the sound that it finds, above 0 and at most 1.
    """
    if not 0 < iou <= 1:
        raise SettingsError(f"--iou {iou:g}", "must be above 0 and at most 1")
    from lib.evaluation.comparison import compare_runs
    from lib.evaluation.comparison_report import comparison_text, write_comparison
    from lib.formats.data_sets import evaluation_data_set
    from lib.results.results_store import ResultsStore

    data_set, chosen = (
        evaluation_data_set(settings.data, settings.evaluate.min_seconds, recordings, annotations),
        settings.evaluate,
    )
    with ResultsStore(first) as one, ResultsStore(second) as other:
        comparison = compare_runs(data_set, one, other, iou, chosen.bootstrap, chosen.seed)
    write_comparison(output, comparison, (first, second), iou)
    show_problems([*data_set.problems, *comparison.problems])
    print(comparison_text(comparison))
    print(f"\nfirst: {first}, second: {second} -> {output}")


if __name__ == "__main__":
    run_stage(compare)
