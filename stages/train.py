"""Train a recognizer: data/training.db -> data/models, with curves and figures in metrics/."""

import os
from typing import TYPE_CHECKING

from lib.config.command_line import run_stage, stage
from lib.config.inputs import INPUTS, input_file, unwatched_inputs
from lib.config.schema import Settings
from lib.core.console import show_problems
from lib.core.errors import EarshotError, SettingsError
from lib.core.wording import counted

if TYPE_CHECKING:
    from lib.training.trainer import TrainingOutcome

INPUT_FILES = (
    "train.load_checkpoint",
    "train.pretrained",
    "train.backbone",
    "train.augmentations.background_noise.folder",
)
"""Settings that may name a file."""
STOPPING = "stopping after this batch, to save the best epoch so far; press Ctrl-C again to stop at once"
NOTHING = "stopped before an epoch was complete, so there is no model to save; run the same command again"


@stage("train")
def train(
    settings: Settings,
    database: str = "data/training.db",
    model: str = "data/models/model.pt",
    metrics: str = "",
    curves: str = "",
    state: str = "",
    again: bool = False,
    track: bool = False,
) -> None:
    """Train a recognizer on the windows of the training database.

    An interrupted run resumes from its last complete epoch. Ctrl-C stops it after the batch, and the model of the best
    epoch so far is saved (by train.metric); pressed twice, it stops at once. The model is kept if nothing that it is
    computed from has changed.

    Examples:
        python -m stages.train --epochs 5 --track
        python -m stages.train --backbone efficientnet_b0 --pretrained --model data/eff/model.pt
        python -m stages.train --num_folds 5 --model data/folds/model.pt
        python -m stages.train --backbone onnx:data/inputs/perch.onnx --frontend waveform --model data/perch/model.pt

    Args:
        database: SQLite file that the extract stage wrote.
        model: checkpoint to write, its description beside it; earlier epochs and folds add -e21 or -f2 to its name.
        metrics: file to write: figures of the last epoch, or of all folds together; default: metrics/train.json for
            data/models, train.json in another model's folder.
        curves: file to write: figures of each epoch; default: train.csv beside metrics.
        state: file to keep the state after each epoch in until the training ends; default: beside the model's folder.
        again: train even if nothing has changed.
        track: log the training in MLflow, as in the pipeline.
    """
    from pathlib import Path

    import pandas as pd

    from lib.core.csv_files import write_table
    from lib.core.digests import digest_of
    from lib.core.files import remove_other_files, write_json
    from lib.core.interruption import answering_ctrl_c
    from lib.core.kept_outputs import keep_outputs, restore_outputs
    from lib.core.locks import sole_writer
    from lib.models.description import description_file
    from lib.models.model_files import remove_other_models
    from lib.tracking.mlflow_runs import training_run
    from lib.tracking.registry.registered_inputs import with_start_model
    from lib.training.training_state import epochs_done, remove_state, state_file, training_fingerprint

    show_problems(unwatched_inputs(settings, *INPUT_FILES))
    tracked, (settings, input_model) = settings, with_start_model(settings)
    folder = Path(model).parent
    for name in INPUT_FILES:
        file = input_file(settings, name)
        if file is not None and file.resolve().is_relative_to(folder.resolve()):
            fault = f"lies in {folder}, whose content the new model replaces"
            raise SettingsError(f"{name} = {str(file)!r}", fault, f"copy it and what belongs to it to {INPUTS}")
    state = state or str(state_file(model))
    is_of_project = folder.resolve() == Path("data/models").resolve()
    metrics = metrics or str((Path("metrics") if is_of_project else folder) / "train.json")
    curves = curves or str(Path(metrics).with_suffix(".csv"))
    fingerprint = training_fingerprint(database, settings.train)
    key = digest_of([fingerprint, Path(model).name])
    roots = {"models": folder, "metrics": Path(metrics), "curves": Path(curves)}
    with sole_writer(folder):
        if not again and (restored := restore_outputs("train", key, roots)):
            remove_other_models(model, restored.files)
            remove_other_files(folder, restored.files)
            remove_state(state, fingerprint)
            show_problems(restored.problems)
            print(f"nothing has changed that the model is computed from: kept -> {folder}")
            return
        from lib.training.trainer import epoch_line, save_models, train_models
        from lib.training_data.stored_windows import StoredWindows

        windows = StoredWindows(database, settings.train.spec_group)
        if training_fingerprint(database, settings.train) != fingerprint:
            raise EarshotError(database, "was changed while it was read", "run the same command again")
        n_done = epochs_done(state, fingerprint)
        if n_done:
            print(f"an interrupted training is resumed after {counted(n_done, 'epoch')}:")
        run = training_run(tracked, fingerprint, folder, n_done, track, input_model)
        with answering_ctrl_c(STOPPING, NOTHING) as ctrl_c, run as log:
            ctrl_c.can_wait = n_done > 0

            def on_epoch(step: int, figures: dict[str, float]) -> None:
                ctrl_c.can_wait = True
                log.log_epoch(figures)
                print(epoch_line(figures), flush=True)

            outcome = train_models(windows, settings.train, state, fingerprint, on_epoch, ctrl_c.asked)
            log.is_complete = outcome.is_complete
            ctrl_c.must_finish = not outcome.is_complete
            written = save_models(model, outcome)
            write_table(curves, pd.DataFrame(outcome.epochs), None)
            write_json(metrics, outcome.metrics)
            files = [*written, *map(description_file, written), Path(metrics), Path(curves)]
            remove_other_files(folder, files)
            ctrl_c.must_finish = False
        problems = [*outcome.problems, *log.problems]
        if outcome.is_complete:  # else the state stays, and the model is no result of the settings as they are
            problems += keep_outputs("train", key, roots, files, outcome.problems)
            remove_state(state)
        show_problems(problems)
        print(f"{_outcome(settings, outcome)} -> {folder}")


def _outcome(settings: Settings, outcome: "TrainingOutcome") -> str:
    """What is printed of a training."""
    windows = counted(outcome.description.training["windows"], "window")
    epochs, models = counted(settings.train.epochs, "epoch"), counted(len(outcome.models), "model")
    if outcome.is_complete:
        return f"{windows}, {epochs}, {models}"
    last = outcome.epochs[-1]
    fold = f" of fold {last['fold']} of {settings.train.num_folds}" if "fold" in last else ""
    best = f"{models} of epoch {outcome.description.training['epochs']}, the best so far"
    again = "`dvc repro -f -s train` resumes" if "DVC_STAGE" in os.environ else "the same command resumes"
    return f"stopped after epoch {last['epoch']} of {settings.train.epochs}{fold} ({again}): {windows}, {best}"


if __name__ == "__main__":
    run_stage(train)
