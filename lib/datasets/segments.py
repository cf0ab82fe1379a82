"""Format `segments`: a folder `recordings/` beside `annotations.csv` with recording, class, start_time, end_time.

A column may have another usual name, see SYNONYMS, and a recording may be called by its file name.
"""

from pathlib import Path

import pandas as pd

from lib.audio.reader import find_recordings
from lib.datasets.label_files import Finder
from lib.datasets.tables import read_csv
from lib.errors import Problem

COLUMNS = ["recording", "class", "start_time", "end_time"]
SYNONYMS = {
    "recording": ("file", "filename", "file_name", "begin file", "path", "filepath"),
    "class": ("label", "species", "annotation", "name", "common name", "common_name"),
    "start_time": ("start", "begin", "onset", "start (s)", "start_s", "begin time (s)"),
    "end_time": ("end", "stop", "offset", "end (s)", "end_s", "end time (s)"),
    "low_freq": ("low freq (hz)", "freq_low", "min_freq"),
    "high_freq": ("high freq (hz)", "freq_high", "max_freq"),
    "confidence": ("score",),
}


def recognizes(folder: Path) -> bool:
    return (folder / "annotations.csv").is_file()


def read(folder: Path, include: str | None) -> tuple[dict[str, Path], pd.DataFrame, list[Problem]]:
    recordings, problems = find_recordings(folder / "recordings", include)
    path = folder / "annotations.csv"
    annotations = read_csv(path, COLUMNS, SYNONYMS)
    finder = Finder(recordings)
    annotations["recording"] = [
        name if not name or name in recordings else finder.named(name, path) for name in annotations["recording"]
    ]
    annotations["line"] = [f"{path}:{line}" for line in annotations.index]
    return recordings, annotations, problems
