"""Find sounds in recordings: recordings + model -> a results store and label files."""

import os

from lib.config.command_line import run_stage, stage
from lib.config.inputs import unwatched_inputs
from lib.config.schema import Settings
from lib.core.console import show_problems
from lib.core.errors import EarshotError
from lib.core.wording import counted

INPUT_FILES = ("infer.model", "infer.exclude", "infer.recordings_table")
"""Settings that may name a file."""


@stage("infer", "data.test")
def infer(
    settings: Settings,
    recordings: str | None = None,
    output: str = "data/labels",
    model: str = "",
    occurrences: str = "data/occurrences.pkl",
) -> None:
    """Find the sounds that a model knows in recordings.

    Recordings whose results are in the output folder already cost nothing; an interrupted run resumes.

    Examples:
        python -m stages.infer --recordings /media/field --output data/field
        python -m stages.infer --recordings dawn.wav --output data/dawn --formats audacity,raven,csv --min_score 0.3
        python -m stages.infer --recordings /media/field --output data/field --latitude 60 --longitude 10 --week date

    Args:
        recordings: a recording, a folder of them, or a list of these: a text file (.txt), or
            a table (.csv) with the column file; default: data.test.
        output: folder to write to: results.db (scores of all windows, labels), label files, recordings.csv (what became
            of each) and manifest.yaml; results of other recordings stay in it, unless the recordings are those of
            data.test.
        model: checkpoint, folder of checkpoints whose scores are averaged, or registry:NAME@ALIAS or
            registry:NAME/VERSION; default: infer.model, else data/models.
        occurrences: pickle of the pickle-occurrences stage, used when a place is set.
    """
    from pathlib import Path

    from lib.core.incremental import check_that_all_was_read
    from lib.formats.data_sets import read_data_set
    from lib.inference.analyzer import analyze
    from lib.occurrence.occurrence_filter import occurrence_filter
    from lib.sound.recordings import recordings_of
    from lib.tracking.registry.registered_inputs import inference_model

    # Problems of the data set's annotations are reported by the evaluation.
    files, problems = recordings_of(recordings) if recordings else (read_data_set(settings.data.test).recordings, [])
    show_problems([*problems, *unwatched_inputs(settings, *INPUT_FILES)])
    if settings.infer.strict and any(problem.lost for problem in problems):
        raise EarshotError("", "stopped because infer.strict is set", "see the lines above")
    place = occurrence_filter(settings.infer, occurrences)
    is_in_pipeline = "DVC_STAGE" in os.environ  # DVC reads and copies the whole store anyway
    path = inference_model(settings, model).path
    analysis = analyze(files, path, settings, Path(output), place, keep_others=bool(recordings), pack=is_in_pipeline)
    show_problems(analysis.problems)
    results = analysis.results
    n_ok, n_labels = sum(result.is_ok for result in results), sum(result.n_labels for result in results)
    hours = sum(result.seconds or 0 for result in results) / 3600
    recordings = f"{n_ok:,} of {counted(len(results), 'recording')} ({analysis.n_new:,} new)"
    print(f"{recordings}, {hours:.2f} h, {counted(n_labels, 'label')} -> {output}")
    if not n_ok or (settings.infer.strict and n_ok < len(results)):
        fault = f"{len(results) - n_ok} of {counted(len(results), 'recording')} could not be analyzed"
        raise EarshotError(output, fault, "recordings.csv in that folder tells why")
    check_that_all_was_read(analysis.problems)


if __name__ == "__main__":
    run_stage(infer)
