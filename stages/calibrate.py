"""Make scores probabilities, and choose from which score on to trust each class."""

import shlex

from lib.config.command_line import run_stage, stage
from lib.config.inputs import REGISTRY
from lib.config.schema import Settings
from lib.core.console import show_problems, table_text
from lib.core.errors import EarshotError, SettingsError


@stage("evaluate", "data.test")
def calibrate(
    settings: Settings,
    labels: str = "data/labels",
    annotations: str | None = None,
    recordings: str | None = None,
    output: str = "data/calibration",
    model: str | None = None,
    precision: float = 0.9,
    cutoff: float = 0.4,
) -> None:
    """Fit Platt scaling, and find the score of each class from which on it is as precise as wanted.

    Use recordings that the model was not trained with, and in which sounds are as common as where it will listen.
    A scaling that infer has already applied is undone first. Run infer without a place, which changes scores for good.
    The output folder gets calibration.json and a plot. Several models together are not scaled: each stores thresholds
    for the mean of their unscaled scores.

    Examples:
        python -m stages.calibrate                        on data/labels and data.test: how, but nothing stored
        python -m stages.calibrate --model data/copy      store it with a copy of data/models
        python -m stages.calibrate --labels data/heard --annotations checked.csv --precision 0.95

    Args:
        labels: folder that the infer stage wrote, or one of unmerged Audacity label files with all scores.
        annotations: CSV file of recording, class, start_time, end_time; default: the annotations of data.test.
        recordings: folder of the recordings, only with --annotations; default: where that file is.
        output: folder to write to.
        model: checkpoint, or folder of checkpoints, to store the calibration with; infer uses it from then on. Give a
            copy of data/models, since `dvc repro` restores an output that something else changed, or of a registered
            model (python -m stages.registry fetch).
        precision: that each class shall have, 0..1.
        cutoff: only scores from here on are used to fit the scaling, 0..1.
    """
    for name, value in (("precision", precision), ("cutoff", cutoff)):
        if not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise SettingsError(f"--{name} {value}", "must be a number in 0..1")
    if recordings and not annotations:
        raise SettingsError("--recordings", "goes with --annotations", "without it, data.test is used")
    if model and model.startswith(REGISTRY):
        copying = f"python -m stages.registry fetch {shlex.quote(model.removeprefix(REGISTRY))} --output data/copy"
        remedy = f"give a copy of it, as `{copying}` makes"
        raise SettingsError(f"--model {model}", "cannot be changed, since registered models stay as they are", remedy)
    from lib.models.description import read_description
    from lib.models.model_files import model_files

    checkpoints = {path: read_description(path) for path in model_files(model)} if model else {}
    from lib.models.platt_scaling import AS_IT_IS
    from lib.tuning.score_calibration import fit_calibration, for_model, read_units, write_calibration

    units, origin, problems = read_units(labels, settings, annotations, recordings)
    show_problems(problems)
    if origin.scaling != AS_IT_IS:
        scaling = ", ".join(f"{value:.4g}" for value in origin.scaling)
        print(f"{labels}: scores are scaled by {scaling} already, which was undone first")
    if checkpoints and origin.models not in (0, len(checkpoints)):
        fault = f"scores are of {origin.models} models, and --model has {len(checkpoints)}"
        raise EarshotError(labels, fault, "give --model those that made the labels")
    is_single = max(origin.models, len(checkpoints)) < 2
    try:
        calibrated = fit_calibration(units, precision, cutoff, scale=is_single)
    except ValueError as error:
        raise EarshotError(labels, str(error), "lower --cutoff, or use more recordings") from None
    fitted = calibrated.calibration
    calibrations = {path: for_model(fitted, description) for path, description in checkpoints.items()}
    write_calibration(output, calibrated, units)
    table = calibrated.classes[["class", "threshold", "precision", "recall", "positives"]]
    print(table_text(table.rename(columns={"positives": "windows with it"}).to_dict("list")))
    scaling = f"coefficient {fitted.coefficient:.4f}, intercept {fitted.intercept:.4f}"
    single = f"{scaling}; thresholds are of scaled scores"
    print(f"\n{single if is_single else 'several models: thresholds are of the mean of unscaled scores'} -> {output}")
    show_problems(calibrated.problems)
    if calibrations:
        from lib.models.checkpoints import set_calibration

        for path, calibration in calibrations.items():
            set_calibration(path, calibration)
            print(f"stored with {path}")


if __name__ == "__main__":
    run_stage(calibrate)
