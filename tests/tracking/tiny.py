"""Settings and data with which a whole training takes a second."""

from pathlib import Path

from lib.config.load import load_settings
from lib.config.schema import Settings
from tests.training_data.builders import SMALL_WINDOWS, write_data_set, write_params

QUICK = {"epochs": 1, "epoch_windows": 64, "batch_size": 16, "val_fraction": 0.2, "augmentations": SMALL_WINDOWS}
PLAIN = {"device": "cpu", "precision": "32"}


def write_project(folder: Path, recordings: int = 6) -> Path:
    """A data set in `set`, and params.yaml, whose path is returned."""
    data_set = write_data_set(folder / "set", recordings)
    return write_params(
        folder / "params.yaml",
        data_set,
        train=QUICK | PLAIN,
        infer=PLAIN | {"overlap": 0.25},
        evaluate={"min_seconds": 0.2, "bootstrap": 0},
        tune={"storage": f"sqlite:///{folder}/tuning.db"},
        tracking={"uri": f"sqlite:///{folder}/mlflow.db"},
    )


def settings_of(folder: Path) -> Settings:
    return load_settings(folder / "params.yaml")
