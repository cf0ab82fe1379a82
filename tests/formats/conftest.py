from collections.abc import Callable
from pathlib import Path

import pytest

from lib.config.schema import DataSetSettings
from lib.formats import WRITERS, LabelScheme
from lib.formats.data_sets import DataSet, read_data_set
from lib.sound.classes import ClassList
from lib.sound.labels import Label, RecordingLabels
from tests.recordings import noise, write

CLASSES = [
    {"name": "Tree frog", "code": "TF", "alt_name": "Hyla arborea", "alt_code": ""},
    {"name": "Wren, winter", "code": "WIWR", "alt_name": "", "alt_code": "wren"},
]
LABELS = {
    "a/r01": ("field/a/r01.wav", 60.0, [Label("Tree frog", 0, 4.5, 0.98765), Label("Wren, winter", 2, 5, 0.5)]),
    "quiet": ("field/quiet.flac", 30.0, []),
    "b/r01": ("field/b/r01.wav", 10.0, [Label("Wren, winter", 1.5, 3.0, 0.25)]),
}


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
def rows() -> Callable[[DataSet], list[tuple]]:
    """A function that gives recording, class, start_time, end_time of each annotation."""
    columns = ["recording", "class", "start_time", "end_time"]
    return lambda contents: list(contents.annotations[columns].itertuples(index=False, name=None))


@pytest.fixture
def faults() -> Callable[[DataSet], dict[str, str]]:
    """A function that gives the fault of each problem by its subject."""
    return lambda contents: {problem.subject: problem.fault for problem in contents.problems}


@pytest.fixture
def read() -> Callable[..., DataSet]:
    return lambda folder, **options: read_data_set(DataSetSettings(path=str(folder), **options))


@pytest.fixture
def write_labels(tmp_path) -> Callable[..., Path]:
    """A function that writes label files of a format: of LABELS, or of some of these recordings."""

    def write_format(name: str, recordings: tuple[str, ...] = tuple(LABELS), field: str = "names") -> Path:
        labels = (
            RecordingLabels(recording, Path(path), seconds, iter(found))
            for recording, (path, seconds, found) in LABELS.items()
            if recording in recordings
        )
        file = tmp_path / "labels"
        WRITERS[name].write(file, labels, LabelScheme(ClassList(CLASSES), field, 50.0, 15000.0, 3.0))
        return file

    return write_format
