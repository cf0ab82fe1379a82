"""Format `segments`: a folder `recordings/` beside `annotations.csv` with recording, class, start_time, end_time."""

from pathlib import Path

import pandas as pd

from lib.audio.reader import find_recordings
from lib.datasets.tables import read_csv
from lib.errors import Problem

COLUMNS = ["recording", "class", "start_time", "end_time"]


def recognizes(folder: Path) -> bool:
    return (folder / "recordings").is_dir() or (folder / "annotations.csv").is_file()


def read(folder: Path, include: str | None) -> tuple[dict[str, Path], pd.DataFrame, list[Problem]]:
    recordings, problems = find_recordings(folder / "recordings", include)
    annotations = read_csv(folder / "annotations.csv", COLUMNS)
    annotations["line"] = [f"{folder / 'annotations.csv'}:{line}" for line in annotations.index]
    return recordings, annotations, problems
