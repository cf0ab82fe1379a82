"""Draw spectrograms: recordings, a class of the training database, or an evaluation's errors in → pictures."""

from lib.config import load_settings
from lib.console import progress, run_stage, show_problems
from lib.errors import Problem, SettingsError


def plot(
    recordings: str | None = None,
    output: str = "data/plots",
    whole: bool = False,
    overlap: float = 0.0,
    annotations: str | None = None,
    labels: str | None = None,
    class_name: str | None = None,
    database: str = "data/training.db",
    spec_group: str = "default",
    errors: str | None = None,
    context: float = 3.0,
    max: int = 0,
    power: float = 1.0,
    bare: bool = False,
    params: str = "params.yaml",
    **overrides,
) -> None:
    """Draw spectrograms. Give one of --recordings, --class and --errors.

    Args:
        recordings: a recording (also --recording), a folder of them, or a list (.txt); each window becomes
            `<recording>-<start>.png`.
        output: folder for the pictures.
        whole: draw each recording in one picture.
        overlap: seconds that neighbouring windows share.
        annotations: labelled data set whose annotations are drawn, in vermillion.
        labels: folder that infer wrote, whose labels are drawn, in white.
        class_name: a class (also --class), name or code: draw its windows of the training database.
        database: training database.
        spec_group: group of its spectrograms.
        errors: errors.csv of the evaluate stage; without a value: metrics/report/errors.csv.
        context: seconds to show before and after the window of an error.
        max: pictures to draw at most (of errors: of each kind); 0: all.
        power: exponent of the values; below 1, what is faint shows more.
        bare: the spectrogram alone, without axes.
        params: settings file.
        overrides: any setting, as --key (of audio) or --section.key; for example --spec_height 192.
    """
    recordings = overrides.pop("recording", recordings)
    class_name = overrides.pop("class", class_name)
    settings = load_settings(params, overrides, section="audio")
    if sum(source is not None for source in (recordings, class_name, errors)) != 1:
        raise SettingsError("give one of --recordings PATH, --class NAME and --errors, to say what to draw")
    if not 0 <= overlap < settings.audio.spec_duration or power <= 0 or context < 0 or max < 0:
        raise SettingsError("overlap must be below audio.spec_duration, power above 0, context and max not below 0")

    from pathlib import Path

    from lib.evaluation import spectrograms

    problems: list[Problem] = []
    total, drawn = spectrograms.pictures(
        settings,
        spectrograms.Style(settings.audio, power, bare),
        Path(output),
        problems,
        max or None,
        errors="metrics/report/errors.csv" if errors == "True" else errors,
        context=context,
        class_name=class_name,
        database=database,
        spec_group=spec_group,
        recordings=recordings,
        whole=whole,
        overlap=overlap,
        annotations=annotations,
        labels=labels,
    )
    n = sum(1 for _ in progress(drawn, "plot", total, "pictures"))
    show_problems(problems)
    print(f"{n} pictures -> {output}")


if __name__ == "__main__":
    run_stage(plot)
