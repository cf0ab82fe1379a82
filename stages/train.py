"""Train a recognizer: data/training.db -> data/models, with curves and figures in metrics/."""

from lib.config import load_settings
from lib.console import run_stage, say, show_problems


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
        model: checkpoint to write; its description is written beside it.
        metrics: figures of the last epoch to write, JSON.
        curves: figures of each epoch to write, CSV.
        state: where the state after each epoch is kept until the training ends.
        params: settings file.
        overrides: any setting, for example --epochs=5.
    """
    settings = load_settings(params, overrides, section="train")
    from pathlib import Path

    import pandas as pd

    from lib.database.stored_windows import StoredWindows
    from lib.digests import digest_file, digest_of
    from lib.files import write_json, write_text
    from lib.models.checkpoint import save_checkpoint
    from lib.tracking.runs import training_run
    from lib.training.trainer import code_digest, describe, epochs_done, train

    windows = StoredWindows(database)
    fingerprint = digest_of([digest_file(database), settings.train.model_dump(exclude={"workers"}), code_digest()])
    folder = Path(model).parent
    with training_run(settings, fingerprint, models=folder, epochs_done=epochs_done(state, fingerprint)) as log:

        def on_epoch(epoch: int, figures: dict[str, float]) -> None:
            log.log_epoch(epoch, figures)
            say(f"epoch {epoch} of {settings.train.epochs}: " + describe(figures))

        outcome = train(windows, settings.train, state, fingerprint, on_epoch)
        save_checkpoint(model, outcome.model, outcome.description)
    show_problems([*outcome.problems, *log.problems])
    write_text(curves, pd.DataFrame(outcome.epochs).to_csv(index=False))
    write_json(metrics, outcome.epochs[-1] | {"windows": outcome.description.training["windows"]})
    Path(state).unlink(missing_ok=True)
    print(f"{outcome.description.training['windows']} windows, {len(outcome.epochs)} epochs -> {model}")


if __name__ == "__main__":
    run_stage(train)
