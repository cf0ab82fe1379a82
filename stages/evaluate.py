"""Compare what the model found in the test recordings with their annotations: figures, tables and pictures."""

from lib.config import load_settings
from lib.console import run_stage, show_problems


def evaluate(
    params: str = "params.yaml",
    labels: str = "data/labels",
    output: str = "metrics/report",
    metrics: str = "metrics/evaluation.json",
    **overrides,
):
    """Test the model on data.test and print how good it is.

    Args:
        params: Settings file.
        labels: Folder that the infer stage wrote for the test recordings.
        output: Folder for the tables and pictures.
        metrics: JSON file for the figures.
        overrides: Any setting, as --key (of evaluate) or --section.key; for example --threshold 0.3.
    """
    settings = load_settings(params, overrides, section="evaluate")

    from dataclasses import replace
    from pathlib import Path

    from lib.datasets.contents import read_data_set
    from lib.evaluation.events import measure_events
    from lib.evaluation.predictions import read_predictions
    from lib.evaluation.report import summary, write_event_report, write_example, write_report
    from lib.evaluation.results import measure
    from lib.evaluation.units import segment_units
    from lib.files import write_json
    from lib.tracking.runs import complete_run

    predictions = read_predictions(labels)
    contents = read_data_set(settings.data.test)
    units, problems = segment_units(contents, predictions, settings.evaluate.min_seconds)
    chosen = settings.evaluate
    results = measure(units, chosen.threshold, chosen.bootstrap, chosen.seed)
    events, odd = measure_events(
        contents, predictions, labels, units.recordings, chosen.onset_collar, chosen.bootstrap, chosen.seed
    )
    results = replace(results, figures=results.figures | events.figures)
    problems = [*contents.problems, *problems, *odd]

    write_report(output, results, units, predictions, list(contents.recordings), problems)
    write_event_report(output, events)
    problems += write_example(Path(output) / "example.png", units, contents, predictions)
    write_json(metrics, results.figures)
    problems += complete_run(settings, metrics, output)
    show_problems(problems)
    print(summary(results))


if __name__ == "__main__":
    run_stage(evaluate)
