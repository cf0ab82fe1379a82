"""Compare what the model found in the test recordings with their annotations: figures, tables and pictures."""

import json
from dataclasses import replace
from pathlib import Path

from lib.config.command_line import run_stage, stage
from lib.config.schema import Settings
from lib.core.console import show_problems


@stage("evaluate", "data.test")
def evaluate(
    settings: Settings,
    labels: str = "data/labels",
    output: str = "metrics/report",
    metrics: str = "metrics/evaluation.json",
) -> None:
    """Test the model on data.test and print how good it is.

    Where nothing has changed that the figures are computed from, they are kept.

    Args:
        labels: folder that the infer stage wrote for the test recordings.
        output: folder for the tables and pictures.
        metrics: JSON file for the figures.
    """
    from lib.core.code_digest import digest_code
    from lib.core.digests import digest_of
    from lib.core.files import write_json
    from lib.core.kept_outputs import keep_outputs, restore_outputs
    from lib.evaluation.event_metrics import measure_events
    from lib.evaluation.metrics_report_writer import summary_text, write_report
    from lib.evaluation.segment_metrics import measure
    from lib.evaluation.units import segment_units
    from lib.formats.data_sets import read_data_set
    from lib.results.results_store import ResultsStore
    from lib.tracking.mlflow_runs import complete_run

    chosen, roots = settings.evaluate, {"report": Path(output), "metrics": Path(metrics)}
    data_set = read_data_set(settings.data.test)
    with ResultsStore(labels) as store:
        code = digest_code("stages.evaluate:evaluate")
        key = digest_of([settings.evaluate.model_dump(), data_set.digest, data_set.problems, store.digest(), code])
        if restored := restore_outputs("evaluate", key, roots):
            show_problems([*restored.problems, *complete_run(settings, metrics, output)])
            print(summary_text(json.loads(Path(metrics).read_text(encoding="utf-8")), chosen.threshold))
            return
        units, problems = segment_units(data_set, store, chosen.min_seconds)
        results = measure(units, chosen.threshold, chosen.bootstrap, chosen.seed)
        resampling = chosen.bootstrap, chosen.seed
        events, event_problems = measure_events(data_set, store, units.recordings, chosen.onset_collar, *resampling)
        results = replace(results, figures=results.figures | events.figures)
        problems = [*data_set.problems, *problems, *event_problems]
        written, picture_problems = write_report(output, results, events, units, data_set, store, problems)
    write_json(metrics, results.figures)
    problems += picture_problems
    not_kept = keep_outputs("evaluate", key, roots, [*written, Path(metrics)], problems)
    show_problems([*problems, *not_kept, *complete_run(settings, metrics, output)])
    print(summary_text(results.figures, chosen.threshold))


if __name__ == "__main__":
    run_stage(evaluate)
