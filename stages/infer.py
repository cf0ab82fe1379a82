"""Find sounds in recordings: recordings + model -> label files, scores.csv, a report and a manifest."""

from lib.config import load_settings
from lib.console import run_stage, show_problems
from lib.errors import EarshotError


def infer(
    recordings: str | None = None,
    output: str = "data/labels",
    model: str = "data/models",
    occurrences: str = "data/occurrences.pkl",
    params: str = "params.yaml",
    **overrides,
) -> None:
    """Find the sounds that a model knows in recordings.

    Recordings whose results stand in the output folder already cost nothing; a run that was stopped goes on.

    Args:
        recordings: a recording, a folder of them, or a text file (.txt) with one of these a line; default: data.test.
        output: folder to write label files, scores.csv, recordings.csv (what became of each) and manifest.yaml to;
            results of other recordings stay in it, unless the recordings are those of data.test.
        model: checkpoint, or folder of checkpoints whose scores are averaged.
        occurrences: pickle of the pickle-occurrences stage, used when a place is set.
        params: settings file.
        overrides: any setting, for example --min_score=0.3, --formats=raven,json, --start_seconds=1:11 or --strict.
    """
    settings = load_settings(params, overrides, section="infer")
    from pathlib import Path

    from lib.inference.analyzer import analyze
    from lib.inference.inputs import data_set_recordings, recordings_of
    from lib.occurrence.filter import occurrence_filter

    found, problems = recordings_of(recordings) if recordings else data_set_recordings(settings.data.test)
    show_problems(problems)
    place = occurrence_filter(settings.infer, occurrences)
    rows, n_new, problems = analyze(found, model, settings, Path(output), place, bool(recordings))
    show_problems(problems)
    n_ok = sum(row["status"] == "ok" for row in rows)
    n_labels = sum(int(row["labels"]) for row in rows)
    hours = sum(float(row["seconds"] or 0) for row in rows) / 3600
    print(f"{n_ok} of {len(rows)} recordings ({n_new} new), {hours:.2f} h, {n_labels} labels -> {output}")
    if not n_ok or (settings.infer.strict and n_ok < len(rows)):
        failed = f"{len(rows) - n_ok} of {len(rows)} recordings could not be analyzed"
        raise EarshotError(f"{output}: {failed}; recordings.csv in that folder tells why")


if __name__ == "__main__":
    run_stage(infer)
