"""Compare what the model found in the test recordings with their annotations: figures, tables and pictures."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lib.config.command_line import run_stage, stage
from lib.config.schema import Settings
from lib.core.console import show_problems
from lib.core.errors import SettingsError


@stage("evaluate", "data.test")
def evaluate(
    settings: Settings,
    labels: str = "data/labels",
    output: str = "metrics/report",
    metrics: str = "metrics/evaluation.json",
    database: str = "data/training.db",
    track: bool = False,
    model: str = "",
) -> None:
    """Test the model on data.test and print how good it is.

    Where nothing has changed that the figures are computed from, they are kept.

    Examples:
        python -m stages.evaluate                         figures of data/labels, as in the pipeline
        python -m stages.evaluate --threshold 0.7 --output data/strict --metrics data/strict.json
        python -m stages.evaluate --track                 with a run in MLflow

    Args:
        labels: folder that the infer stage wrote for the test recordings; their matches with annotations go into the
            folder beside it, LABELS.matches.
        output: folder for the tables and pictures.
        metrics: JSON file for the figures by which experiments are compared.
        database: training database; a line says which test recordings are in it, too.
        track: log the evaluation in MLflow, as in the pipeline.
        model: with track, the model that made the labels, as infer takes it; default: infer.model, else data/models.
    """
    from lib.core.code_digest import digest_code
    from lib.core.csv_files import write_table
    from lib.core.digests import digest_of
    from lib.core.files import remove_other_files, write_json
    from lib.core.kept_outputs import keep_outputs, restore_outputs
    from lib.core.locks import sole_writer
    from lib.evaluation.event_metrics import measure_events
    from lib.evaluation.figures import compared, read_figures
    from lib.evaluation.leakage import find_leakage
    from lib.evaluation.lost_decisions import find_lost_decisions
    from lib.evaluation.matches_store import matches_folder, store_matches
    from lib.evaluation.metrics_report_writer import write_report
    from lib.evaluation.plots_page import ensure_script
    from lib.evaluation.run_matching import BY_CLASS
    from lib.evaluation.scenario_metrics import measure_scenarios, scenario_figures, scenario_table
    from lib.evaluation.segment_metrics import measure
    from lib.evaluation.units import segment_units
    from lib.formats.data_sets import read_test_set
    from lib.results.results_store import ResultsStore
    from lib.sound.scenario_tables import read_scenario_files
    from lib.tracking.mlflow_runs import complete_run
    from lib.tracking.registry.registered_inputs import inference_model

    path, model_id = Path(), ""
    if track or "DVC_STAGE" in os.environ:
        path, model_id = inference_model(settings, model)
    chosen, matches = settings.evaluate, matches_folder(labels)
    roots = {"report": Path(output), "metrics": Path(metrics), "matches": matches}
    data_set = read_test_set(settings.data, settings.evaluate.min_seconds)
    known_problems = [*find_leakage(data_set, database), *data_set.problems]
    known_problems += find_lost_decisions(settings.data.decisions, data_set, database)
    scenarios, scenario_problems = read_scenario_files(settings.data.scenarios)
    known_problems += scenario_problems
    with sole_writer(output), ResultsStore(labels) as store:
        if (track or model_id) and not store.manifest.is_of(path):
            remedy = "run infer again, or give --model the one that did"
            raise SettingsError(f"model {path}", f"did not make {labels}", remedy)
        code = digest_code("stages.evaluate:evaluate")
        content = [settings.evaluate.model_dump(), data_set.digest, known_problems, store.digest(), code]
        key = digest_of([*content, scenarios] if scenarios else content)
        if restored := restore_outputs("evaluate", key, roots):
            remove_other_files(output, restored.files)
            show_problems(
                [*restored.problems, *ensure_script(), *complete_run(settings, output, path, track, model_id)]
            )
            print(_outcome(read_figures(output), chosen.threshold, output))
            return
        units, problems = segment_units(data_set, store, chosen.min_seconds)
        results = measure(units, chosen.threshold, chosen.bootstrap, chosen.seed, scratch=Path(metrics).parent)
        resampling = chosen.bootstrap, chosen.seed
        events, event_problems = measure_events(data_set, store, units.recordings, chosen.onset_collar, *resampling)
        results = replace(results, figures=results.figures | events.figures)
        committed = store_matches(data_set, store, matches, BY_CLASS)
        scored, failures = measure_scenarios(scenarios, data_set, store, matches)
        problems = [*known_problems, *problems, *event_problems, *failures]
        written, picture_problems = write_report(output, results, events, data_set, store, problems)
        if scored:
            written.append(Path(output, "scenarios.csv"))
            write_table(written[-1], scenario_table(scored))
        remove_other_files(output, written)
        write_json(metrics, compared(results.figures) | scenario_figures(scored))
        problems += picture_problems
        not_kept = keep_outputs("evaluate", key, roots, [*written, Path(metrics), committed], problems)
        show_problems([*problems, *not_kept, *ensure_script(), *complete_run(settings, output, path, track, model_id)])
        print(_outcome(results.figures, chosen.threshold, output))


def _outcome(figures: Mapping[str, float], threshold: float, report: str) -> str:
    """What is printed: in the pipeline, where more is to be read, a line."""
    from lib.evaluation.metrics_report_writer import summary_line, summary_text

    return f"{summary_line(figures)} -> {report}" if "DVC_STAGE" in os.environ else summary_text(figures, threshold)


if __name__ == "__main__":
    run_stage(evaluate)
