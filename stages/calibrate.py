"""Make scores probabilities, and choose from which score on to trust each class."""

from lib.config import load_settings
from lib.console import run_stage, show_problems
from lib.errors import EarshotError, SettingsError


def calibrate(
    labels: str = "data/labels",
    annotations: str | None = None,
    recordings: str | None = None,
    output: str = "data/calibration",
    model: str | None = None,
    precision: float = 0.9,
    cutoff: float = 0.4,
    params: str = "params.yaml",
    **overrides,
) -> None:
    """Fit Platt scaling, and find the score of each class from which on it is as precise as wanted.

    Use recordings that the model was not trained with, and in which sounds are as common as where it will listen.
    Scores that infer has scaled already are taken as they were before; run it without a place, which changes scores
    for good. The output folder gets calibration.json and a plot. Several models together are not scaled: each stores
    thresholds of the mean of their scores, as they are.

    Args:
        labels: folder that the infer stage wrote, or one of unmerged Audacity label files with all scores.
        annotations: CSV file of recording, class, start_time, end_time; default: the annotations of data.test.
        recordings: folder of the recordings, only with --annotations; default: where that file is.
        output: folder to write to.
        model: checkpoint, or folder of checkpoints, to store the calibration with; infer uses it from then on. Give a
            copy of data/models: `dvc repro` takes a changed output of its own for a broken one.
        precision: that each class shall have, 0..1.
        cutoff: only scores from here on are used to fit the scaling, 0..1.
        params: settings file.
        overrides: any setting, for example --min_seconds (of a sound that must lie in a segment).
    """
    settings = load_settings(params, overrides, section="evaluate")
    for name, value in (("precision", precision), ("cutoff", cutoff)):
        if not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise SettingsError(f"--{name} {value}: must be a number in 0..1")
    if recordings and not annotations:
        raise SettingsError("--recordings goes with --annotations; without it, data.test is used")
    from pathlib import Path

    from lib.models.description import read_description
    from lib.models.files import model_files

    checkpoints = {path: read_description(path) for path in model_files(model)} if model else {}
    from lib.evaluation.calibration import calibrate as fit
    from lib.evaluation.calibration import read_units
    from lib.evaluation.plots import plot_calibration, save
    from lib.files import write_json

    units, origin, problems = read_units(labels, settings, annotations, recordings)
    show_problems(problems)
    if origin.scaled:
        scaling = f"{origin.coefficient:.4g}, {origin.intercept:.4g}"
        print(f"{labels}: scores are scaled by {scaling} already, which was undone first")
    if checkpoints and origin.models not in (0, len(checkpoints)):
        fault = f"{labels}: scores are of {origin.models} models, and --model has {len(checkpoints)}"
        raise EarshotError(f"{fault}; give --model those that made the labels")
    alone = max(origin.models, len(checkpoints)) < 2
    try:
        calibrated = fit(units, precision, cutoff, alone)
    except ValueError as error:
        raise EarshotError(f"{labels}: {error}; lower --cutoff, or use more recordings") from None
    stored = {path: calibrated.for_model(description) for path, description in checkpoints.items()}

    folder, pair = Path(output), (calibrated.coefficient, calibrated.intercept)
    folder.mkdir(parents=True, exist_ok=True)
    picture = folder / f"calibration-{pair[0]:.2f}-{pair[1]:.2f}.png"
    save(plot_calibration(units.truth.ravel(), units.scores.ravel(), *pair), picture)
    content = {"coefficient": pair[0], "intercept": pair[1], "precision": precision}
    write_json(folder / "calibration.json", content | {"thresholds": calibrated.thresholds})
    table = calibrated.classes[["class", "threshold", "precision", "recall", "positives"]]
    print(table.rename(columns={"positives": "n"}).to_string(index=False, float_format="%.3f", na_rep="-"))
    of = f"coefficient {pair[0]:.4f}, intercept {pair[1]:.4f}; thresholds are of scaled scores"
    print(f"\n{of if alone else 'several models: thresholds are of the mean of unscaled scores'} -> {output}")
    show_problems(calibrated.unreached(precision))
    if stored:
        from lib.models.checkpoint import set_calibration

        for path, calibration in stored.items():
            set_calibration(path, calibration)
            print(f"stored with {path}")


if __name__ == "__main__":
    run_stage(calibrate)
