"""Suggest a learning rate: data/training.db -> data/find_lr.csv and .png."""

from lib.config import load_settings
from lib.console import run_stage


def find_lr(
    database: str = "data/training.db",
    num_batches: int = 100,
    output: str = "data/find_lr",
    params: str = "params.yaml",
    **overrides,
) -> None:
    """Suggest a learning rate for the training that the settings describe, by a short training at growing rates.

    Args:
        database: SQLite file that the extract stage wrote.
        num_batches: how many rates to try, each on a batch.
        output: file to write, without suffix: rates and losses as .csv, their curve as .png.
        params: settings file.
        overrides: any setting, for example --backbone=efficientnet_b0.
    """
    settings = load_settings(params, overrides, section="train")
    import pandas as pd

    from lib.database.stored_windows import StoredWindows
    from lib.files import atomic, write_text
    from lib.training.lr_finder import find_learning_rate, plot_range

    windows = StoredWindows(database, settings.train.spec_group)
    found = find_learning_rate(windows, settings.train, num_batches)
    table = pd.DataFrame({"learning_rate": found.rates, "loss": found.losses, "smoothed_loss": found.smoothed})
    write_text(f"{output}.csv", table.to_csv(index=False))
    with atomic(f"{output}.png") as part:
        plot_range(found).savefig(part, format="png", dpi=120)
    print(f"the loss falls steepest at {found.steepest:.2g} and is lowest at {found.lowest:.2g}")
    print(f"suggested learning rate: {found.suggestion:.2g} -> {output}.png")


if __name__ == "__main__":
    run_stage(find_lr)
