"""What formats share that keep annotations in separate files, beside the recordings or in another folder.

Recordings and annotation files may be anywhere below the data set's folder. Result folders of the infer stage are
skipped: what a model found is not an annotation until somebody copies it elsewhere.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path

from lib.core.errors import DataSetError
from lib.core.files import printable, walk_files
from lib.formats import Annotated, Reader
from lib.sound.annotations import AnnotationRow, annotation_table
from lib.sound.labels import RESULTS_FILE
from lib.sound.recordings import Recordings, find_recordings, stem_of

HEAD_BYTES = 2**16
ENDING = re.compile(r"\.(selections?|table|\d+|birdnet|results|annotations?|labels?|audacity|raven)$", re.IGNORECASE)
"""What annotation tools append to a recording's name, besides the suffix."""


def annotation_files(folder: Path, suffix: str) -> Iterator[Path]:
    """Files with a suffix below a folder, other than hidden ones and those of the infer stage."""
    files = walk_files(folder, lambda folder, names: RESULTS_FILE in names)
    return (file for file in files if file.name.lower().endswith(suffix))


def head_of(file: Path) -> bytes:
    """The first HEAD_BYTES of a file; empty if it cannot be read."""
    try:
        with file.open("rb") as content:
            return content.read(HEAD_BYTES)
    except OSError:
        return b""


def first_line(file: Path) -> str:
    """The first line of a file, of any content, that is not blank; empty if there is none."""
    return next(filter(str.strip, head_of(file).decode("utf-8-sig", "replace").splitlines()), "")


def lines_of(file: Path) -> Iterator[tuple[int, str]]:
    """Number and text of each line of a file that is not blank. Raises DataSetError."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataSetError(file, "is not UTF-8", "save it as UTF-8 text") from None
    except OSError as error:
        raise DataSetError(file, f"cannot be read ({error.strerror})", "check the file and its permissions") from None
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line.rstrip("\r")


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
    while (shorter := stem_of(ENDING.sub("", stems[-1]))) != stems[-1]:
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


RowsOf = Callable[[Path, RecordingFinder], list[AnnotationRow]]
"""The annotations of a file, whose `line` is relative to it: a number, or ` event 3`. Raises DataSetError."""


def annotation_file_reader(
    precedence: int, contents: str, suffix: str, is_annotation_file: Callable[[Path], bool], rows_of: RowsOf
) -> Reader:
    """A Reader of folders whose annotations are files with a suffix that a function recognizes."""

    def recognizes(folder: Path) -> bool:
        return any(map(is_annotation_file, annotation_files(folder, suffix)))

    def read(folder: Path, include: str | None) -> Annotated:
        return read_annotation_files(
            folder, include, filter(is_annotation_file, annotation_files(folder, suffix)), rows_of
        )

    return Reader(precedence, contents, recognizes, read)


def read_annotation_files(folder: Path, include: str | None, files: Iterable[Path], rows_of: RowsOf) -> Annotated:
    """Recordings below a folder, and the annotations in files; one that cannot be used becomes a Problem."""
    recordings, problems = find_recordings(folder, include)
    finder = RecordingFinder(recordings)
    rows: list[AnnotationRow] = []
    for file in files:
        try:
            rows += [row | {"line": f"{file}:{row['line']}"} for row in rows_of(file, finder)]
        except DataSetError as error:
            problems.append(error.problem())
    return Annotated(recordings, annotation_table(rows), problems)


def first_of(fields: dict[str, str], names: tuple[str, ...]) -> str:
    """The first of these fields that is not empty; empty if none."""
    return next((fields[name] for name in names if fields.get(name)), "")


def number_in(text: str) -> float:
    """A text as a number; NaN if it is not one."""
    try:
        return float(text)
    except ValueError:
        return float("nan")
