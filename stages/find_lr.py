"""Suggest a learning rate: data/training.db -> data/find_lr.csv and .png."""

from lib.config.command_line import run_stage, stage
from lib.config.schema import Settings


@stage("train")
def find_lr(
    settings: Settings, database: str = "data/training.db", num_batches: int = 100, output: str = "data/find_lr"
) -> None:
    """Suggest a learning rate for these settings, by a short training at growing rates.

    Examples:
        python -m stages.find_lr
        python -m stages.find_lr --backbone efficientnet_b0 --num_batches 200

    Args:
        database: SQLite file that the extract stage wrote.
        num_batches: number of rates to try, each on a batch.
        output: path to write, without suffix: rates and losses as .csv, their plot as .png.
    """
    import pandas as pd

    from lib.core.files import atomic, write_text
    from lib.tracking.registry.registered_inputs import with_start_model
    from lib.training.learning_rate_finder import find_learning_rate, plot_range
    from lib.training_data.stored_windows import StoredWindows

    settings, _ = with_start_model(settings)
    windows = StoredWindows(database, settings.train.spec_group)
    tested = find_learning_rate(windows, settings.train, num_batches)
    table = pd.DataFrame({"learning_rate": tested.rates, "loss": tested.losses, "smoothed_loss": tested.smoothed})
    write_text(f"{output}.csv", table.to_csv(index=False))
    with atomic(f"{output}.png") as part:
        plot_range(tested).savefig(part, format="png", dpi=120)
    print(f"the loss falls steepest at {tested.steepest:.2g} and is lowest at {tested.lowest:.2g}")
    print(f"suggested learning rate: {tested.suggestion:.2g} -> {output}.png")


if __name__ == "__main__":
    run_stage(find_lr)
