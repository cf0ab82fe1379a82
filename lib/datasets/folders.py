"""Format `folders`: a folder for each class, holding recordings of that class from start to end."""

from pathlib import Path

import pandas as pd

from lib.audio.reader import find_recordings
from lib.errors import Problem
from lib.files import printable


def recognizes(folder: Path) -> bool:
    if (folder / "recordings").is_dir():  # whose annotations are missing
        return False
    return any(find_recordings(child)[0] for child in _class_folders(folder))


def read(folder: Path, include: str | None) -> tuple[dict[str, Path], pd.DataFrame, list[Problem]]:
    recordings, problems = find_recordings(folder, include)
    rows = []
    for name, file in recordings.items():
        parts = file.relative_to(folder).parts
        if len(parts) == 1:
            action = f"move it to {folder}/<class>/"
            problems.append(Problem(printable(str(file)), "lies in no class folder, so it has no label", action))
        else:
            label = printable(parts[0])
            rows.append((name, label, 0.0, float("inf"), printable(str(file))))
    labelled = {row[0] for row in rows}
    annotations = pd.DataFrame(rows, columns=["recording", "class", "start_time", "end_time", "line"])
    return {name: file for name, file in recordings.items() if name in labelled}, annotations, problems


def _class_folders(folder: Path) -> list[Path]:
    return [child for child in folder.iterdir() if child.is_dir() and not child.name.startswith(".")]
