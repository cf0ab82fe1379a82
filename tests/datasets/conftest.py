from collections.abc import Callable
from pathlib import Path

import pytest

from lib.config import DataSet
from lib.datasets.contents import Contents, read_data_set
from tests.recordings import noise, write


@pytest.fixture
def data_set(tmp_path) -> Callable[..., Path]:
    """A function that makes a folder of recordings and of text files (path -> content)."""

    def make(recordings: tuple[str, ...] = ("a.wav", "b.wav"), files: dict[str, str] | None = None) -> Path:
        folder = tmp_path / "set"
        for name in recordings:
            write(folder / name, noise(0.1, 8000), 8000)
        for name, content in (files or {}).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content, encoding="utf-8")
        return folder

    return make


@pytest.fixture
def rows() -> Callable[[Contents], list[tuple]]:
    """A function that gives recording, class, start_time, end_time of each annotation."""
    columns = ["recording", "class", "start_time", "end_time"]
    return lambda contents: list(contents.annotations[columns].itertuples(index=False, name=None))


@pytest.fixture
def read() -> Callable[..., Contents]:
    return lambda folder, **options: read_data_set(DataSet(path=str(folder), **options))
