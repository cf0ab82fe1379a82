"""Format `kaleidoscope`: tables (.csv) of Wildlife Acoustics' Kaleidoscope, one or more, for any number of recordings.

A row gives its recording in IN FILE (with FOLDER and INDIR) and OFFSET and DURATION in seconds; without an OFFSET, it
is about the start of the recording. Its class is the first column of CLASS that is not empty. Fmin and Fmax are read
from tables with an OFFSET, where they are in Hz.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from lib.core.csv_files import delimiter_of, number_in, read_csv, write_csv
from lib.core.errors import DataSetError
from lib.core.files import printable
from lib.formats import READERS, WRITERS, LabelScheme, Writer
from lib.formats.annotation_files import annotation_file_reader, first_line, first_of
from lib.sound.annotations import AnnotationRow
from lib.sound.labels import RecordingLabels
from lib.sound.recordings import RecordingFinder

CLASS = ("manual id", "top1match", "auto id", "common_name", "scientific_name")


def _is_table(file: Path) -> bool:
    line = first_line(file)
    return {"in file", "duration"} <= set(map(_column, line.split(delimiter_of(line, []))))


def _column(name: str) -> str:
    """Kaleidoscope marks some columns with a star, and other programs write AUTO-ID for AUTO ID."""
    return name.strip().strip('"').rstrip("*").replace("-", " ").casefold()


def _rows_of(file: Path, finder: RecordingFinder) -> list[AnnotationRow]:
    """The rows of a table. Raises DataSetError."""
    table = read_csv(file, [])
    columns = [_column(name) for name in table.columns]
    if "duration" not in columns or not set(CLASS) & set(columns):
        raise DataSetError(file, "lacks DURATION, or MANUAL ID or another column of classes", "export it with them")
    rows = []
    for line, *values in table.itertuples(name=None):
        fields = dict(zip(columns, values, strict=True))
        path = "/".join(fields.get(part, "") for part in ("indir", "folder", "in file"))
        start = fields.get("offset", "0")
        row = {
            "recording": finder.named(path, file),
            "class": first_of(fields, CLASS),
            "start_time": start,
            "end_time": number_in(start) + number_in(fields["duration"]),
            "confidence": "" if fields.get("manual id") else first_of(fields, ("confidence", "score")),
            "line": line,
        }
        if "offset" in fields:
            row |= {"low_freq": fields.get("fmin", ""), "high_freq": fields.get("fmax", "")}
        rows.append(row)
    return rows


def _write(path: Path, recordings: Iterable[RecordingLabels], scheme: LabelScheme) -> None:
    """MANUAL ID is left for a person, TOP1DIST is 1 - Score."""
    columns = ["INDIR", "FOLDER", "IN FILE", "CHANNEL", "OFFSET", "DURATION", "Fmin", "Fmean", "Fmax"]
    low, high = scheme.low_freq, scheme.high_freq
    band = [f"{low:g}", f"{(low + high) / 2:g}", f"{high:g}"]

    def rows() -> Iterator[list[str]]:
        for labelled in recordings:
            folder, file_name = os.path.split(printable(os.path.abspath(labelled.path)))
            where = [*os.path.split(folder), file_name, "0"]
            for name, start, end, score in labelled.labels:
                times = [f"{start:.3f}", f"{end - start:.3f}"]
                yield [*where, *times, *band, scheme.shown[name], f"{1 - score:.4f}", "", f"{score:.4f}"]

    write_csv(path, [*columns, "TOP1MATCH", "TOP1DIST", "MANUAL ID", "Score"], rows(), scheme.escape_formulas)


READERS.register("kaleidoscope", annotation_file_reader(4, "Kaleidoscope tables", ".csv", _is_table, _rows_of))
WRITERS.register("kaleidoscope", Writer(_write, together="labels.kaleidoscope.csv", has_paths=True))
