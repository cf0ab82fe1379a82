"""Recordings: how files of sound are found and named."""

import os
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path

from lib.core.errors import AudioError, Problem
from lib.core.files import printable, walk_files

SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("wav", "wave", "w64", "rf64", "flac", "ogg", "oga", "opus", "mp3", "aif", "aiff", "aifc", "au", "caf"),
        *("m4a", "mp4", "aac", "webm", "wma", "mka"),
    )
)
SNDFILE_HEADS = frozenset({b"RIFF", b"RIFX", b"RF64", b"riff", b"fLaC", b"OggS", b"FORM", b"caff", b".snd"})
"""First bytes of the files that libsndfile decodes."""

Recordings = dict[str, Path]
"""Recordings by name, sorted."""


def recordings_of(path: str | Path) -> tuple[Recordings, list[Problem]]:
    """Recordings of a file, of a folder, or of a text file (.txt) that lists such paths, one per line.

    A list's relative paths are relative to the list; paths in it that do not exist become Problems. Raises AudioError
    if there are no recordings at all.
    """
    path = Path(path)
    is_list = path.suffix.lower() == ".txt" and path.is_file()
    recordings, problems = _listed_recordings(path) if is_list else find_recordings(path)
    if not recordings:
        raise AudioError(path, "holds no recordings", "give a recording, a folder of them or a list of paths (.txt)")
    return recordings, problems


def _listed_recordings(path: Path) -> tuple[Recordings, list[Problem]]:
    files: set[Path] = set()
    problems: list[Problem] = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines(), 1):
        if not (entry := line.strip()) or entry.startswith("#"):
            continue
        try:
            files |= {Path(os.path.abspath(file)) for file in recording_files(path.parent / entry)}
        except AudioError as error:
            fault = f"{error.subject}: {error.fault}"
            problems.append(Problem(printable(f"{path}:{number}"), fault, error.remedy))
    root = Path(os.path.commonpath([str(file.parent) for file in files] or ["."]))
    recordings, name_problems = _named(sorted(files), root)
    return recordings, [*problems, *name_problems]


def find_recordings(path: str | Path, include: str | None = None) -> tuple[Recordings, list[Problem]]:
    """Recordings below a folder (or one file), and problems of their names.

    A recording's name is its file name without suffix; where several share one, their paths within the folder without
    suffix and, if that is not enough, with suffix.

    Args:
        path: a folder or file.
        include: a glob on file names without suffix; None: all.

    Raises AudioError if the path does not exist.
    """
    files = [file for file in recording_files(path) if include is None or fnmatchcase(printable(file.stem), include)]
    return _named(files, Path(path))


def recording_files(path: str | Path) -> list[Path]:
    """The recordings below a folder, sorted, or the file at this path. Raises AudioError if there is neither."""
    root = Path(path)
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise AudioError(root, "no such file or folder", "check the path")
    return sorted(file for file in walk_files(root) if file.suffix.lower() in SUFFIXES)


def _named(files: list[Path], root: Path) -> tuple[Recordings, list[Problem]]:
    """Recordings by name, see find_recordings, and problems of their names."""
    recordings: Recordings = {}
    unnamed = files
    for name_of in (
        lambda file: printable(file.stem),
        lambda file: printable(str(file.relative_to(root).with_suffix(""))),
        lambda file: printable(str(file.relative_to(root))),
    ):
        names = [name_of(file) for file in unnamed]
        n_files = Counter([*names, *recordings])
        recordings |= {name: file for name, file in zip(names, unnamed, strict=True) if n_files[name] == 1}
        unnamed = [file for name, file in zip(names, unnamed, strict=True) if n_files[name] > 1]
    problems = []
    for file in files:
        shown = printable(file.name)
        if shown != file.name:
            remedy = f"it is shown as {shown}; rename the file"
            problems.append(Problem(printable(str(file)), "the name is not UTF-8", remedy, lost=False))
    for file in unnamed:
        problems.append(Problem(printable(str(file)), "another recording has the same name", "rename one of them"))
    return dict(sorted(recordings.items())), problems


def stem_of(file_name: str) -> str:
    """A file name without the suffix of a recording; other endings stay.

    >>> stem_of("20240512.053000.WAV"), stem_of("20240512.053000")
    ('20240512.053000', '20240512.053000')
    """
    stem, suffix = os.path.splitext(file_name)
    return stem if suffix.lower() in SUFFIXES else file_name
