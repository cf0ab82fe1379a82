"""Format `raven`: Raven selection tables (.txt), tab-separated, one for each recording or one for many.

A row is a selection: Begin Time (s), End Time (s) and, if the table has them, Low Freq (Hz) and High Freq (Hz). Its
class is in the first column of CLASS that the table has. Its recording is that of Begin Path or Begin File, else the
one after which the table is named (`a.Table.1.selections.txt` or `a.txt`). In a table of several recordings, File
Offset (s) counts from the start of the Begin File, while the other times count from the start of the first recording.
Raven writes a row for each view of a selection; that of the spectrogram is read.
"""

import os
from collections.abc import Iterable
from math import isnan
from pathlib import Path

from lib.core.csv_files import number_in
from lib.core.errors import DataSetError
from lib.core.files import atomic_text, printable
from lib.formats import READERS, WRITERS, LabelScheme, Writer
from lib.formats.annotation_files import annotation_file_reader, first_line, first_of, lines_of
from lib.sound.annotations import AnnotationRow
from lib.sound.labels import RecordingLabels
from lib.sound.recordings import RecordingFinder

BEGIN, END = "begin time (s)", "end time (s)"
CLASS = ("species", "annotation", "annotations", "label", "class", "common name", "species code", "code", "tag")
BEGIN_FILE = ("begin path", "begin file")
CONFIDENCE = ("confidence", "score")
ANNOTATOR = ("annotator", "observer")


def is_selection_table(file: Path) -> bool:
    return {BEGIN, END} <= set(_columns(first_line(file)))


def _rows_of(file: Path, finder: RecordingFinder) -> list[AnnotationRow]:
    """The selections of a table. Raises DataSetError."""
    lines = lines_of(file)
    columns = _columns(next(lines)[1])
    if not {BEGIN, END} <= set(columns):
        raise DataSetError(file, f"lacks the column {BEGIN} or {END}", "export it from Raven again")
    if not set(CLASS) & set(columns):
        raise DataSetError(file, "has no column of classes", "name one of its columns Species or Annotation")
    default = finder.annotated_by_or_guessed(file)
    rows: dict[object, tuple[str, AnnotationRow]] = {}
    for number, line in lines:
        values = [value.strip() for value in line.split("\t")] + len(columns) * [""]
        fields = dict(zip(columns, values, strict=False))
        begin_file, start, end = first_of(fields, BEGIN_FILE), fields[BEGIN], fields[END]
        selection = fields.get("selection") or number, start, end, begin_file
        view = fields.get("view", "").casefold()
        key: object = selection
        if selection in rows and rows[selection][0] == view:  # a repeated row, not another view
            key = number
        elif selection in rows and not view.startswith("spectrogram"):
            continue
        row: AnnotationRow = {
            "recording": finder.named(begin_file, file) if begin_file else default,
            "class": first_of(fields, CLASS),
            "start_time": start,
            "end_time": end,
            "low_freq": fields.get("low freq (hz)", ""),
            "high_freq": fields.get("high freq (hz)", ""),
            "confidence": first_of(fields, CONFIDENCE),
            "annotator": first_of(fields, ANNOTATOR),
            "line": number,
        }
        if not isnan(offset := number_in(fields.get("file offset (s)", ""))):
            row |= {"start_time": offset, "end_time": round(offset + number_in(end) - number_in(start), 6)}
        rows[key] = view, row
    return [row for _, row in rows.values()]


def _columns(line: str) -> list[str]:
    return [column.strip().casefold() for column in line.split("\t")]


def _write(path: Path, recordings: Iterable[RecordingLabels], scheme: LabelScheme) -> None:
    """Begin Path lets Raven open the recordings with the table. Begin and End Time run through all of them in a row, as
    Raven lays them out; File Offset is the time within the file.
    """
    columns = ["Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)"]
    columns += ["Begin File", "Begin Path", "File Offset (s)", "Annotation", "Score"]
    band = [f"{scheme.low_freq:g}", f"{scheme.high_freq:g}"]
    number, before = 0, 0.0
    with atomic_text(path) as file:
        file.write("\t".join(columns) + "\n")
        for labelled in recordings:
            where = [printable(labelled.path.name), printable(os.path.abspath(labelled.path))]
            for name, start, end, score in labelled.labels:
                number += 1
                times = [f"{before + start:.3f}", f"{before + end:.3f}"]
                row = [str(number), "Spectrogram 1", "1", *times, *band, *where, f"{start:.3f}"]
                file.write("\t".join([*row, scheme.shown[name], f"{score:.4f}"]) + "\n")
            before += labelled.seconds


READERS.register("raven", annotation_file_reader(2, "Raven selection tables", ".txt", is_selection_table, _rows_of))
WRITERS.register("raven", Writer(_write, "raven/{}.selections.txt", "labels.selections.txt", has_paths=True))
