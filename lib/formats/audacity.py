"""Format `audacity`: one Audacity label file (.txt) per recording, named after it.

A line is start, end (s) and label, separated by tabs. The label is the class; it may end in a semicolon and a score, as
in the label files of the infer stage (`Wren;0.87`), which becomes the confidence. A line that begins with a backslash
holds the low and the high frequency (Hz) of the label above it; Audacity writes -1 for one that is not set.
"""

from collections.abc import Iterable
from pathlib import Path

from lib.core.csv_files import number_in
from lib.core.files import atomic_text
from lib.formats import READERS, WRITERS, Annotated, LabelScheme, Reader, Writer
from lib.formats.annotation_files import first_line, lines_of, read_annotation_files, recognized_files
from lib.formats.raven import is_selection_table
from lib.sound.annotations import AnnotationRow
from lib.sound.labels import RecordingLabels
from lib.sound.recordings import RecordingFinder, recording_files


def _recognizes(folder: Path) -> bool:
    files = list(recognized_files(folder, ".txt", lambda file: _is_label(first_line(file))))
    return bool(files) and any(map(_finder(folder).annotated_by, files))


def _read(folder: Path, include: str | None) -> Annotated:
    """Text files are skipped that neither are named after a recording nor begin with a label."""
    finder = _finder(folder)

    def is_label_file(file: Path) -> bool:
        return bool(_is_label(first_line(file)) or finder.annotated_by(file)) and not is_selection_table(file)

    return read_annotation_files(folder, include, ".txt", is_label_file, _rows_of)


def _finder(folder: Path) -> RecordingFinder:
    return RecordingFinder({str(file): file for file in recording_files(folder)[0]})


def _rows_of(file: Path, finder: RecordingFinder) -> list[AnnotationRow]:
    """The labels of a file. Raises DataSetError."""
    recording = finder.annotated_by_or_guessed(file)
    rows: list[AnnotationRow] = []
    for number, line in lines_of(file):
        fields = [field.strip() for field in line.split("\t")]
        if fields[0] == "\\":
            if rows:
                band = (text if number_in(text) >= 0 else "" for text in fields[1:])
                rows[-1] |= dict(zip(("low_freq", "high_freq"), band, strict=False))
            continue
        start, end, label = (*fields, "", "")[:3]
        name, score = _split_score(label)
        row = {"recording": recording, "class": name, "start_time": start, "end_time": end, "confidence": score}
        rows.append(row | {"line": number})
    return rows


def _is_label(line: str) -> bool:
    start, end = (number_in(text) for text in [*line.split("\t"), "", ""][:2])
    return start <= end


def _split_score(label: str) -> tuple[str, str]:
    name, separator, score = label.rpartition(";")
    return (name.strip(), score.strip()) if separator and 0 <= number_in(score) <= 1 else (label, "")


def _write(path: Path, recordings: Iterable[RecordingLabels], scheme: LabelScheme) -> None:
    """The format has no place for a recording's name, so there must be only one."""
    with atomic_text(path) as file:
        for labelled in recordings:
            for name, start, end, score in labelled.labels:
                file.write(f"{start:.3f}\t{end:.3f}\t{scheme.shown[name]};{score:.3f}\n")


READERS.register("audacity", Reader(3, "Audacity label files", _recognizes, _read))
WRITERS.register("audacity", Writer(_write, each="{}.txt"))
