"""Which recordings are to be analyzed."""

import os
from pathlib import Path

from lib.audio.reader import find_recordings, name_recordings, recording_files
from lib.config import DataSet
from lib.errors import AudioError, Problem


def recordings_of(path: str | Path) -> tuple[dict[str, Path], list[Problem]]:
    """Recordings by name of a file, of a folder, or of a text file (.txt) that lists such paths, one a line.

    A list's relative paths are relative to where the list lies. Lines that lead nowhere become Problems.
    Raises AudioError if there is nothing at all.
    """
    path = Path(path)
    if path.suffix.lower() == ".txt" and path.is_file():
        found, problems = _listed(path)
    else:
        found, problems = find_recordings(path)
    if not found:
        raise AudioError(f"{path}: holds no recordings; give a recording, a folder of them or a list of paths (.txt)")
    return found, problems


def _listed(path: Path) -> tuple[dict[str, Path], list[Problem]]:
    files: list[Path] = []
    problems: list[Problem] = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines(), 1):
        if not (entry := line.strip()) or entry.startswith("#"):
            continue
        try:
            files += map(Path, map(os.path.abspath, recording_files(path.parent / entry)))
        except AudioError as error:
            problems.append(error.problem(f"{path}:{number}"))
    files = sorted(set(files))
    found, odd = name_recordings(files, Path(os.path.commonpath([str(file.parent) for file in files] or ["."])))
    return found, [*problems, *odd]


def data_set_recordings(data_set: DataSet) -> tuple[dict[str, Path], list[Problem]]:
    """The recordings of a data set by name; what is odd about its annotations is the evaluation's to say."""
    from lib.datasets.contents import read_data_set  # brings pandas, which a folder of recordings does without

    return read_data_set(data_set).recordings, []
