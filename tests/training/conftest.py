"""A small training database, settings that train in a second, and one thread."""

import pytest
import torch

from lib.training_data.stored_windows import StoredWindows
from tests.training_data.builders import extract_folder, write_data_set


@pytest.fixture(scope="package", autouse=True)
def one_thread():
    """Sums depend on how many threads share them, and those of such small models are slower shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="package")
def folder(tmp_path_factory):
    """A data set of 12 recordings of three classes, with its training database, training.db."""
    folder = write_data_set(tmp_path_factory.mktemp("training") / "set", 12)
    extract_folder(folder, folder / "training.db")
    return folder


@pytest.fixture(scope="package")
def windows(folder):
    return StoredWindows(folder / "training.db")
