"""What formats share that keep annotations in separate files, beside the recordings or in another folder.

Recordings and annotation files may be anywhere below the data set's folder. Result folders of the infer stage are
skipped: what a model found is not an annotation until somebody copies it elsewhere.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from lib.core.errors import DataSetError
from lib.core.files import open_regular, read_text, walk_files
from lib.formats import Annotated, Reader
from lib.sound.annotations import AnnotationRow, annotation_table
from lib.sound.labels import RECORDING_COLUMNS, RECORDINGS_FILE, RESULTS_FILE
from lib.sound.recordings import RecordingFinder, find_recordings

HEAD_BYTES = 2**16


def annotation_files(folder: Path, suffix: str) -> Iterator[Path]:
    """Files with a suffix below a folder, other than hidden ones, those of the infer stage, and pipes or devices.

    Folders that cannot be listed are reported with the recordings.
    """
    files = walk_files(folder, _holds_results)
    return (file for file in files if file.name.lower().endswith(suffix) and file.is_file())


def _holds_results(folder: Path, file_names: list[str]) -> bool:
    """Whether a folder is one of the infer stage, of any version, even without its results store."""
    if RESULTS_FILE in file_names:
        return True
    with suppress(DataSetError):
        return head_of(folder / RECORDINGS_FILE).startswith(",".join(RECORDING_COLUMNS).encode())
    return False


def head_of(file: Path) -> bytes:
    """The first HEAD_BYTES of a file, empty if there is none. Raises DataSetError if it cannot be read."""
    try:
        with open_regular(file) as content:
            return content.read(HEAD_BYTES)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise _unreadable(file, error) from None


def _unreadable(file: Path, error: OSError) -> DataSetError:
    return DataSetError(file, f"cannot be read ({error.strerror})", "check the file and its permissions")


def first_line(file: Path) -> str:
    """The first line of a file, of any content, that is not blank; empty if there is none. Raises DataSetError."""
    return next(filter(str.strip, head_of(file).decode("utf-8-sig", "replace").splitlines()), "")


def lines_of(file: Path) -> Iterator[tuple[int, str]]:
    """Number and text of each line of a file that is not blank. Raises DataSetError."""
    try:
        text = read_text(file)
    except UnicodeDecodeError:
        raise DataSetError(file, "is not UTF-8", "save it as UTF-8 text") from None
    except OSError as error:
        raise _unreadable(file, error) from None
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line.rstrip("\r")


IsAnnotationFile = Callable[[Path], bool]
"""Whether a file is of a format, by its head. Raises DataSetError if it cannot be read."""
RowsOf = Callable[[Path, RecordingFinder], list[AnnotationRow]]
"""The annotations of a file, whose `line` is relative to it: a number, or ` event 3`. Raises DataSetError."""


def annotation_file_reader(
    precedence: int, contents: str, suffix: str, is_annotation_file: IsAnnotationFile, rows_of: RowsOf
) -> Reader:
    """A Reader of folders whose annotations are files with a suffix that a function recognizes."""

    def recognizes(folder: Path) -> bool:
        return any(recognized_files(folder, suffix, is_annotation_file))

    def read(folder: Path, include: str | None) -> Annotated:
        return read_annotation_files(folder, include, suffix, is_annotation_file, rows_of)

    return Reader(precedence, contents, recognizes, read)


def recognized_files(folder: Path, suffix: str, is_annotation_file: IsAnnotationFile) -> Iterator[Path]:
    """The files below a folder that are of a format, without those that cannot be read."""
    for file in annotation_files(folder, suffix):
        with suppress(DataSetError):
            if is_annotation_file(file):
                yield file


def read_annotation_files(
    folder: Path, include: str | None, suffix: str, is_annotation_file: IsAnnotationFile, rows_of: RowsOf
) -> Annotated:
    """Recordings below a folder, and the annotations in files with a suffix that are recognized.

    One that cannot be used becomes a Problem, and so does one that cannot be read, whatever it is.
    """
    recordings, problems = find_recordings(folder, include)
    finder = RecordingFinder(recordings)
    rows: list[AnnotationRow] = []
    for file in annotation_files(folder, suffix):
        try:
            if is_annotation_file(file):
                rows += [row | {"line": f"{file}:{row['line']}"} for row in rows_of(file, finder)]
        except DataSetError as error:
            problems.append(error.problem())
    return Annotated(recordings, annotation_table(rows), problems)


def first_of(fields: dict[str, str], names: tuple[str, ...]) -> str:
    """The first of these fields that is not empty; empty if none."""
    return next((fields[name] for name in names if fields.get(name)), "")
