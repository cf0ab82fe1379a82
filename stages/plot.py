"""Draw spectrograms: recordings, a class of the training database, or an evaluation's errors in -> pictures."""

from lib.config.command_line import run_stage, stage
from lib.config.schema import Settings
from lib.core.console import show_problems
from lib.core.errors import Problem, SettingsError
from lib.core.progress import progress
from lib.core.wording import counted

ERRORS = "metrics/report/errors.csv"


@stage("audio", **{"class": "class_name", "recording": "recordings"})
def plot(
    settings: Settings,
    recordings: str | None = None,
    output: str = "data/plots",
    whole: bool = False,
    overlap: float = 0.0,
    annotations: str | None = None,
    labels: str | None = None,
    class_name: str | None = None,
    database: str = "data/training.db",
    spec_group: str = "default",
    errors: str | bool | None = None,
    context: float = 3.0,
    max: int = 0,
    power: float = 1.0,
    bare: bool = False,
) -> None:
    """Draw spectrograms. Give one of --recordings, --class and --errors.

    Examples:
        python -m stages.plot --recordings dawn.wav --whole
        python -m stages.plot --recordings data/sample/test/recordings --labels data/labels --max 20
        python -m stages.plot --class "Silver Whistler" --max 20
        python -m stages.plot --errors                    what the evaluation found to be wrong

    Args:
        recordings: a recording (also --recording), a folder of them, or a list (.txt, .csv); each window becomes
            `<recording>-<start>.png`.
        output: folder for the pictures.
        whole: draw each recording in one picture.
        overlap: seconds that neighbouring windows share.
        annotations: labelled data set whose annotations are drawn, in vermillion.
        labels: folder that infer wrote, whose labels are drawn, in white.
        class_name: a class (also --class), by any of its names or codes; draw its windows of the training database.
        database: training database.
        spec_group: group of its spectrograms.
        errors: errors.csv of the evaluate stage; without a value, metrics/report/errors.csv.
        context: seconds to show before and after the window of an error.
        max: pictures to draw at most (of errors, of each kind); 0: all.
        power: exponent of the values; below 1, faint sounds show better.
        bare: the spectrogram alone, without axes.
    """
    if sum(source is not None for source in (recordings, class_name, errors)) != 1:
        raise SettingsError("plot", "give one of --recordings PATH, --class NAME and --errors, to say what to draw")
    if not 0 <= overlap < settings.audio.spec_duration or power <= 0 or context < 0 or max < 0:
        fault = "overlap must be below audio.spec_duration, power above 0, context and max not below 0"
        raise SettingsError("plot", fault)
    from contextlib import nullcontext
    from itertools import islice
    from pathlib import Path

    from lib.config.schema import DataSetSettings
    from lib.curation import sound_pictures
    from lib.formats.data_sets import read_data_set, read_test_set
    from lib.results.results_store import ResultsStore
    from lib.sound.recordings import recordings_of

    problems: list[Problem] = []
    style, folder, limit = sound_pictures.Style(settings.audio, power, bare), Path(output), max or None
    with ResultsStore(labels) if labels else nullcontext() as results:
        if errors:
            table = sound_pictures.read_errors(ERRORS if str(errors) == "True" else str(errors), limit)
            test_set = read_test_set(settings.data, settings.evaluate.min_seconds)
            total, drawn = len(table), sound_pictures.draw_errors(table, test_set, context, style, folder, problems)
        elif class_name:
            total, drawn = sound_pictures.draw_class(database, class_name, spec_group, style, folder, limit)
        else:
            files, problems = recordings_of(str(recordings))
            marks = sound_pictures.Marks(
                read_data_set(DataSetSettings(path=annotations)).annotations if annotations else None,
                results,
            )
            hop = None if whole else settings.audio.spec_duration - overlap
            total = sound_pictures.count_pictures(files, hop, settings.audio)
            drawn = sound_pictures.draw_recordings(files, hop, style, folder, marks, problems)
            total, drawn = min(total, max or total), islice(drawn, limit)
        n = sum(1 for _ in progress(drawn, "plot", total, "pictures"))
    show_problems(problems)
    print(f"{counted(n, 'picture')} -> {output}")


if __name__ == "__main__":
    run_stage(plot)
