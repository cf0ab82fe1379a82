"""Find sounds in recordings: recordings + model -> a results store and label files."""

import os

from lib.config.command_line import run_stage, stage
from lib.config.inputs import unwatched_inputs
from lib.config.schema import Settings
from lib.core.console import show_problems
from lib.core.errors import EarshotError


@stage("infer", "data.test")
def infer(
    settings: Settings,
    recordings: str | None = None,
    output: str = "data/labels",
    model: str = "data/models",
    occurrences: str = "data/occurrences.pkl",
) -> None:
    """Find the sounds that a model knows in recordings.

    Recordings whose results are in the output folder already cost nothing; an interrupted run resumes.

    Args:
        recordings: a recording, a folder of them, or a text file (.txt) with one of these a line; default: data.test.
        output: folder to write to: results.db (scores of all windows, labels), label files, recordings.csv (what became
            of each) and manifest.yaml; results of other recordings stay in it, unless the recordings are those of
            data.test.
        model: checkpoint, or folder of checkpoints whose scores are averaged.
        occurrences: pickle of the pickle-occurrences stage, used when a place is set.
    """
    from pathlib import Path

    from lib.formats.data_sets import read_data_set
    from lib.inference.analyzer import analyze
    from lib.occurrence.occurrence_filter import occurrence_filter
    from lib.sound.recordings import recordings_of

    # Problems of the data set's annotations are reported by the evaluation.
    files, problems = recordings_of(recordings) if recordings else (read_data_set(settings.data.test).recordings, [])
    show_problems([*problems, *unwatched_inputs(settings, "infer.exclude", "infer.recordings_table")])
    place = occurrence_filter(settings.infer, occurrences)
    is_in_pipeline = "DVC_STAGE" in os.environ  # DVC reads and copies the whole store anyway
    analysis = analyze(files, model, settings, Path(output), place, keep_others=bool(recordings), pack=is_in_pipeline)
    show_problems(analysis.problems)
    results = analysis.results
    n_ok, n_labels = sum(result.is_ok for result in results), sum(result.n_labels for result in results)
    hours = sum(result.seconds or 0 for result in results) / 3600
    print(f"{n_ok} of {len(results)} recordings ({analysis.n_new} new), {hours:.2f} h, {n_labels} labels -> {output}")
    if not n_ok or (settings.infer.strict and n_ok < len(results)):
        fault = f"{len(results) - n_ok} of {len(results)} recordings could not be analyzed"
        raise EarshotError(output, fault, "recordings.csv in that folder tells why")


if __name__ == "__main__":
    run_stage(infer)
