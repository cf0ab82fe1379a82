"""Recordings, a model and a training database that the tests of this room share; what they change, they copy."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.models.builders import save_random_model
from tests.training_data.builders import AUDIO, RATE, extract_folder, write_data_set


@pytest.fixture(scope="session")
def field(tmp_path_factory) -> Path:
    """A folder of recordings: r00 to r03 and short, which is shorter than a window."""
    folder = write_data_set(tmp_path_factory.mktemp("field"), 4) / "recordings"
    soundfile.write(folder / "short.wav", np.random.default_rng(1).normal(0, 0.1, 1000), RATE)
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models") / "model.pt"
    save_random_model(path, AUDIO)
    return path


@pytest.fixture(scope="session")
def extracted(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    extract_folder(write_data_set(folder / "set", 3), folder / "training.db")
    return folder / "training.db"
