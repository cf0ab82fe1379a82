"""Train a recognizer: data/training.db -> data/models, with curves and figures in metrics/."""

from lib.config.command_line import run_stage, stage
from lib.config.inputs import INPUTS, unwatched_inputs
from lib.config.schema import Settings
from lib.core.console import show_problems
from lib.core.errors import SettingsError


@stage("train")
def train(
    settings: Settings,
    database: str = "data/training.db",
    model: str = "data/models/model.pt",
    metrics: str = "metrics/train.json",
    curves: str = "metrics/train.csv",
    state: str = "data/.training-state",
    again: bool = False,
) -> None:
    """Train a recognizer on the windows of the training database.

    An interrupted run resumes from its last complete epoch. The model is kept if nothing that it is computed from has
    changed.

    Args:
        database: SQLite file that the extract stage wrote.
        model: checkpoint to write, its description beside it; earlier epochs and folds add -e21 or -f2 to its name.
        metrics: file to write: figures of the last epoch, or of all folds together, JSON.
        curves: file to write: figures of each epoch, CSV.
        state: file to keep the state after each epoch in until the training ends.
        again: train even if nothing has changed.
    """
    from pathlib import Path

    import pandas as pd

    from lib.core.csv_files import write_table
    from lib.core.digests import digest_of
    from lib.core.files import write_json
    from lib.core.kept_outputs import keep_outputs, restore_outputs
    from lib.models.description import description_file
    from lib.models.model_files import remove_other_models
    from lib.tracking.mlflow_runs import training_run
    from lib.training.training_state import epochs_done, remove_state, training_fingerprint

    show_problems(unwatched_inputs(settings, "train.load_checkpoint"))
    folder, start = Path(model).parent, settings.train.load_checkpoint
    if start and Path(start).resolve().is_relative_to(folder.resolve()):
        fault = f"lies in {folder}, which DVC empties before it trains"
        raise SettingsError(f"train.load_checkpoint = {start!r}", fault, f"copy it and its .json to {INPUTS}")
    fingerprint = training_fingerprint(database, settings.train)
    key = digest_of([fingerprint, Path(model).name])
    roots = {"models": folder, "metrics": Path(metrics), "curves": Path(curves)}
    if not again and (restored := restore_outputs("train", key, roots)):
        remove_other_models(model, restored.files)
        if epochs_done(state, fingerprint):
            remove_state(state)
        show_problems(restored.problems)
        print(f"nothing has changed that the model is computed from: kept -> {folder}")
        return
    from lib.training.trainer import epoch_line, save_models, train_models
    from lib.training_data.stored_windows import StoredWindows

    windows = StoredWindows(database, settings.train.spec_group)
    with training_run(settings, fingerprint, models=folder, epochs_done=epochs_done(state, fingerprint)) as log:

        def on_epoch(step: int, figures: dict[str, float]) -> None:
            log.log_epoch(step, figures)
            print(epoch_line(figures), flush=True)

        outcome = train_models(windows, settings.train, state, fingerprint, on_epoch)
        written = save_models(model, outcome)
    write_table(curves, pd.DataFrame(outcome.epochs), None)
    write_json(metrics, outcome.metrics)
    files = [*written, *map(description_file, written), Path(metrics), Path(curves)]
    problems = keep_outputs("train", key, roots, files, outcome.problems)
    show_problems([*outcome.problems, *log.problems, *problems])
    remove_state(state)
    n_windows, n_models = outcome.description.training["windows"], len(outcome.models)
    print(f"{n_windows} windows, {settings.train.epochs} epochs, {n_models} models -> {folder}")


if __name__ == "__main__":
    run_stage(train)
