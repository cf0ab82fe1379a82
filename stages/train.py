"""Train a recognizer: data/training.db -> data/models, with curves and figures in metrics/."""

from lib.config import load_settings
from lib.console import run_stage, say, show_problems
from lib.errors import SettingsError


def train(
    database: str = "data/training.db",
    model: str = "data/models/model.pt",
    metrics: str = "metrics/train.json",
    curves: str = "metrics/train.csv",
    state: str = "data/.training-state",
    params: str = "params.yaml",
    **overrides,
) -> None:
    """Train a recognizer on the windows of the training database.

    A run that was stopped goes on from its last whole epoch.

    Args:
        database: SQLite file that the extract stage wrote.
        model: checkpoint to write, and its description beside it; earlier epochs and folds add -e21 or -f2 to its name.
        metrics: figures of the last epoch, or of all folds together, to write, JSON.
        curves: figures of each epoch to write, CSV.
        state: where the state after each epoch is kept until the training ends.
        params: settings file.
        overrides: any setting, for example --epochs=5.
    """
    settings = load_settings(params, overrides, section="train")
    from pathlib import Path

    import pandas as pd

    from lib.database.stored_windows import StoredWindows
    from lib.files import write_json, write_text
    from lib.tracking.runs import training_run
    from lib.training.state import epochs_done, remove_state, training_fingerprint
    from lib.training.trainer import describe, save_models, train

    folder, start = Path(model).parent, settings.train.load_checkpoint
    if start and Path(start).resolve().is_relative_to(folder.resolve()):
        fault = f"train.load_checkpoint = {start!r}: lies in {folder}, which DVC empties before it trains"
        raise SettingsError(f"{fault}; copy it and its .json elsewhere")
    windows = StoredWindows(database, settings.train.spec_group)
    fingerprint = training_fingerprint(database, settings.train)
    with training_run(settings, fingerprint, models=folder, epochs_done=epochs_done(state, fingerprint)) as log:

        def on_epoch(step: int, figures: dict[str, float]) -> None:
            log.log_epoch(step, figures)
            say(describe(figures))

        outcome = train(windows, settings.train, state, fingerprint, on_epoch)
        save_models(model, outcome)
    show_problems([*outcome.problems, *log.problems])
    write_text(curves, pd.DataFrame(outcome.epochs).to_csv(index=False))
    write_json(metrics, outcome.metrics)
    remove_state(state)
    n_windows, n_models = outcome.description.training["windows"], len(outcome.models)
    print(f"{n_windows} windows, {settings.train.epochs} epochs, {n_models} models -> {folder}")


if __name__ == "__main__":
    run_stage(train)
