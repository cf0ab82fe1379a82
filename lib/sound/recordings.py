"""Recordings: how files of sound are found and named, and which of them an annotation is about."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import takewhile
from pathlib import Path

from lib.core.csv_files import read_csv
from lib.core.errors import AudioError, Problem, unreadable
from lib.core.files import printable, read_text, walk_files

SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("wav", "wave", "w64", "rf64", "flac", "ogg", "oga", "opus", "mp3", "aif", "aiff", "aifc", "au", "caf"),
        *("m4a", "mp4", "aac", "webm", "wma", "mka"),
    )
)
SNDFILE_HEADS = frozenset({b"RIFF", b"RIFX", b"RF64", b"riff", b"fLaC", b"OggS", b"FORM", b"caff", b".snd"})
"""First bytes of the files that libsndfile decodes."""
ANNOTATION_ENDING = re.compile(
    r"\.(selections?|table|\d+|birdnet|results|annotations?|labels?|audacity|raven)$", re.IGNORECASE
)
"""What annotation tools append to a recording's name, besides the suffix."""

Recordings = dict[str, Path]
"""Recordings by name, sorted."""


def recordings_of(path: str | Path) -> tuple[Recordings, list[Problem]]:
    """Recordings of a file, of a folder, or of a list of such paths: a text file (.txt) with one per line, or a table
    (.csv) with the column `file`.

    A list's relative paths are relative to the list; paths in it that do not exist become Problems. Raises AudioError
    if there are no recordings at all, and DataSetError if a table cannot be read.
    """
    path = Path(path)
    entries = LISTS.get(path.suffix.lower()) if path.is_file() else None
    recordings, problems = _listed_recordings(path, entries(path)) if entries else find_recordings(path)
    if not recordings:
        remedy = "give a recording, a folder of them or a list of paths (.txt, or .csv with the column file)"
        raise AudioError(path, "holds no recordings", remedy, causes=problems)
    return recordings, problems


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(read_text(path, "surrogateescape").splitlines(), 1):
        if (entry := line.strip()) and not entry.startswith("#"):
            yield number, entry


def _cells(path: Path) -> Iterator[tuple[int, str]]:
    files = read_csv(path, ["file"])["file"]
    return ((line, file) for line, file in files.items() if file)  # type: ignore[misc]


LISTS: dict[str, Callable[[Path], Iterator[tuple[int, str]]]] = {".txt": _lines, ".csv": _cells}
"""Line and path of each entry of a list of recordings, by the list's suffix."""


def _listed_recordings(path: Path, entries: Iterator[tuple[int, str]]) -> tuple[Recordings, list[Problem]]:
    files: set[Path] = set()
    problems: list[Problem] = []
    for number, entry in entries:
        try:
            below, folder_problems = recording_files(path.parent / entry)
            files |= {Path(os.path.abspath(file)) for file in below}
            problems += folder_problems
        except AudioError as error:
            fault = f"{error.subject}: {error.fault}"
            problems.append(Problem(printable(f"{path}:{number}"), fault, error.remedy))
    root = Path(os.path.commonpath([str(file.parent) for file in files] or ["."]))
    recordings, name_problems = _name_recordings(sorted(files), root)
    return recordings, [*problems, *name_problems]


def find_recordings(path: str | Path, include: str | None = None) -> tuple[Recordings, list[Problem]]:
    """Recordings below a folder (or one file), and problems of their names and of folders that cannot be listed.

    A recording's name is its file name without suffix; where several share one, their paths within the folder without
    suffix and, if that is not enough, with suffix.

    Args:
        path: a folder or file.
        include: a glob on file names without suffix; None: all.

    Raises AudioError if the path does not exist.
    """
    files, problems = recording_files(path)
    chosen = [file for file in files if include is None or fnmatchcase(printable(file.stem), include)]
    recordings, name_problems = _name_recordings(chosen, Path(path))
    return recordings, [*problems, *name_problems]


def recording_files(path: str | Path) -> tuple[list[Path], list[Problem]]:
    """The recordings below a folder, sorted, or the file at this path; and a Problem for each folder that cannot be
    listed. Raises AudioError if there is no such file or folder."""
    root, errors = Path(path), list[OSError]()
    if root.is_file():
        return [root], []
    if not root.is_dir():
        raise AudioError(root, "no such file or folder", "check the path")
    files = sorted(file for file in walk_files(root, on_error=errors.append) if file.suffix.lower() in SUFFIXES)
    return files, [unreadable(error.filename, error).problem() for error in errors]


def _name_recordings(files: list[Path], root: Path) -> tuple[Recordings, list[Problem]]:
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
            fault = "the name is not UTF-8, or has control characters"
            problems.append(Problem(printable(str(file)), fault, remedy, lost=False))
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


class RecordingFinder:
    """Tells which recording an annotation is about.

    Of several recordings of the same name, it is the one whose folders match those of the annotation best.
    """

    def __init__(self, recordings: Recordings) -> None:
        self._by_stem: dict[str, list[tuple[str, Path]]] = {}
        for name, file in recordings.items():
            self._by_stem.setdefault(printable(file.stem), []).append((name, file))

    def named(self, text: str, annotation_file: Path) -> str:
        """The recording that an annotation file calls by a file name or path, of any operating system.

        If there is no such recording, the name that it would have.
        """
        *folders, file_name = re.split(r"[/\\]", text.strip())
        stem = stem_of(file_name)
        candidates = self._by_stem.get(stem, [])
        candidates = [one for one in candidates if one[1].name == file_name] or candidates
        return _nearest(candidates, folders) or _nearest(candidates, annotation_file.parts[:-1]) or stem

    def is_shared(self, stem: str) -> bool:
        """Whether several recordings have this file name, without suffix."""
        return len(self._by_stem.get(stem, ())) > 1

    def annotated_by(self, annotation_file: Path) -> str | None:
        """The recording after which an annotation file is named, or None."""
        stem = next((stem for stem in _stems(annotation_file) if stem in self._by_stem), None)
        return stem and _nearest(self._by_stem[stem], annotation_file.parts[:-1])

    def annotated_by_or_guessed(self, annotation_file: Path) -> str:
        """The recording after which an annotation file is named or, if there is none, the name that it would have."""
        return self.annotated_by(annotation_file) or _stems(annotation_file)[-1]


def _stems(annotation_file: Path) -> list[str]:
    """The stem of an annotation file, and what remains as each known ending is removed."""
    stems = [printable(annotation_file.stem)]
    while (shorter := stem_of(ANNOTATION_ENDING.sub("", stems[-1]))) != stems[-1]:
        stems.append(shorter)
    return stems


def _nearest(candidates: list[tuple[str, Path]], folders: Sequence[str]) -> str | None:
    """The name of the only candidate, or of the one that shares most of its last folders; None if several do."""
    if len(candidates) <= 1:
        return candidates[0][0] if candidates else None

    def n_shared(file: Path) -> int:
        pairs = zip(reversed(file.parts[:-1]), reversed(folders), strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    most = max(n_shared(file) for _, file in candidates)
    nearest = [name for name, file in candidates if n_shared(file) == most]
    return nearest[0] if len(nearest) == 1 and most else None
