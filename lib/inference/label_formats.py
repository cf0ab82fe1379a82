"""Label files for other programs: one small function a format, from labels to a file, and one registry of them.

All take recordings one after the other, so that a file of a million labels needs no more memory than one of ten.
"""

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from lib.files import atomic, printable
from lib.inference.labels import Label, class_fields

ROWS_AT_ONCE = 100_000
"""Labels that a Parquet file takes up at once."""


class Labelled(NamedTuple):
    """A recording (name and file), its duration (s) and its labels, which hold names of classes and come once."""

    recording: str
    path: Path
    seconds: float
    labels: Iterable[Label]


class Scheme(NamedTuple):
    """How labels are written. shown: what a class is called, by its name; scientific: its other name, by its name;
    low_freq, high_freq: the band (Hz) that was listened to, for formats that want one.
    """

    shown: dict[str, str]
    scientific: dict[str, str]
    low_freq: float
    high_freq: float


def make_scheme(classes: list[dict[str, str]], field: str, low_freq: float, high_freq: float) -> Scheme:
    """The scheme in which classes are called by a label field (names, codes, alt_names or alt_codes)."""
    fields = class_fields(classes)
    shown, scientific = (dict(zip(fields["names"], fields[key], strict=True)) for key in (field, "alt_names"))
    return Scheme(shown, scientific, low_freq, high_freq)


def write_audacity(path: Path, recordings: Iterable[Labelled], scheme: Scheme) -> None:
    """Audacity: start, end and `name;score`, separated by tabs. The format knows of one recording only."""
    with _opened(path) as file:
        for labelled in recordings:
            for name, start, end, score in labelled.labels:
                file.write(f"{start:.3f}\t{end:.3f}\t{scheme.shown[name]};{score:.3f}\n")


def write_csv(path: Path, recordings: Iterable[Labelled], scheme: Scheme) -> None:
    """A labels table: recording, name, start_time, end_time, score."""
    with _table(path, ["recording", *Label._fields]) as writer:
        for labelled in recordings:
            for name, start, end, score in labelled.labels:
                times = (f"{start:.3f}", f"{end:.3f}", f"{score:.6g}")
                writer.writerow([labelled.recording, scheme.shown[name], *times])


def write_raven(path: Path, recordings: Iterable[Labelled], scheme: Scheme) -> None:
    """A Raven selection table, tabs between the columns.

    Begin Path lets Raven open the recordings with it. Begin and End Time count through all of them, one after the
    other, as Raven lays them out; File Offset is the time within the file.
    """
    columns = ["Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)"]
    columns += ["Begin File", "Begin Path", "File Offset (s)", "Annotation", "Score"]
    band = [f"{scheme.low_freq:g}", f"{scheme.high_freq:g}"]
    number, before = 0, 0.0
    with _opened(path) as file:
        file.write("\t".join(columns) + "\n")
        for labelled in recordings:
            where = [printable(labelled.path.name), printable(os.path.abspath(labelled.path))]
            for name, start, end, score in labelled.labels:
                number += 1
                times = [f"{before + start:.3f}", f"{before + end:.3f}"]
                row = [str(number), "Spectrogram 1", "1", *times, *band, *where, f"{start:.3f}"]
                file.write("\t".join([*row, scheme.shown[name], f"{score:.4f}"]) + "\n")
            before += labelled.seconds


def write_kaleidoscope(path: Path, recordings: Iterable[Labelled], scheme: Scheme) -> None:
    """Kaleidoscope's CSV table of a folder's clips; MANUAL ID is left for a person, TOP1DIST is 1 - Score."""
    columns = ["INDIR", "FOLDER", "IN FILE", "CHANNEL", "OFFSET", "DURATION", "Fmin", "Fmean", "Fmax"]
    low, high = scheme.low_freq, scheme.high_freq
    band = [f"{low:g}", f"{(low + high) / 2:g}", f"{high:g}"]
    with _table(path, [*columns, "TOP1MATCH", "TOP1DIST", "MANUAL ID", "Score"]) as writer:
        for labelled in recordings:
            folder, file = os.path.split(printable(os.path.abspath(labelled.path)))
            where = [*os.path.split(folder), file, "0"]
            for name, start, end, score in labelled.labels:
                times = [f"{start:.3f}", f"{end - start:.3f}"]
                writer.writerow([*where, *times, *band, scheme.shown[name], f"{1 - score:.4f}", "", f"{score:.4f}"])


def write_birdnet(path: Path, recordings: Iterable[Labelled], scheme: Scheme) -> None:
    """The columns of BirdNET-Analyzer's CSV result table; a class's scientific name is its alt_name."""
    columns = ["Start (s)", "End (s)", "Scientific name", "Common name", "Confidence", "File"]
    with _table(path, columns) as writer:
        for labelled in recordings:
            file = printable(str(labelled.path))
            for name, start, end, score in labelled.labels:
                names = [scheme.scientific[name], scheme.shown[name]]
                writer.writerow([f"{start:.3f}", f"{end:.3f}", *names, f"{score:.4f}", file])


def write_json(path: Path, recordings: Iterable[Labelled], scheme: Scheme) -> None:
    """A list of recordings, one a line, each with its list of labels."""
    with _opened(path) as file:
        separator = "[\n"
        for recording, sound, seconds, labels in recordings:
            entry = {"recording": recording, "path": printable(str(sound)), "seconds": seconds}
            file.write(f'{separator}{_json(entry)[:-1]}, "labels": [')
            between = ""
            for name, start, end, score in labels:
                times = {"start_time": round(start, 3), "end_time": round(end, 3)}
                file.write(between + _json({"name": scheme.shown[name]} | times | {"score": round(score, 6)}))
                between = ", "
            file.write("]}")
            separator = ",\n"
        file.write("[]\n" if separator.startswith("[") else "\n]\n")


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False)


def write_parquet(path: Path, recordings: Iterable[Labelled], scheme: Scheme) -> None:
    """A labels table (recording, name, start_time, end_time, score) with the path of the recording."""
    import pyarrow
    from pyarrow import parquet

    texts, numbers = (pyarrow.string(), pyarrow.float64())
    types = {"recording": texts, "name": texts, "start_time": numbers, "end_time": numbers}
    schema = pyarrow.schema(types | {"score": pyarrow.float32(), "path": texts})
    rows = (
        (recording, scheme.shown[name], *times, printable(str(sound)))
        for recording, sound, _, labels in recordings
        for name, *times in labels
    )
    with atomic(path) as part, parquet.ParquetWriter(part, schema) as writer:
        while some := list(islice(rows, ROWS_AT_ONCE)):
            columns = zip(zip(*some, strict=True), schema, strict=True)
            arrays = [pyarrow.array(values, field.type) for values, field in columns]
            writer.write_table(pyarrow.table(arrays, schema=schema))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with atomic(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        yield file


@contextmanager
def _table(path: Path, columns: list[str]) -> Iterator[Any]:
    with _opened(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        yield writer


class LabelFormat(NamedTuple):
    """write: the function; each: file of one recording, with its name for {}; together: file of all recordings."""

    write: Callable[[Path, Iterable[Labelled], Scheme], None]
    each: str | None
    together: str | None


LABEL_FORMATS = {
    "audacity": LabelFormat(write_audacity, "{}.txt", None),
    "csv": LabelFormat(write_csv, None, "labels.csv"),
    "raven": LabelFormat(write_raven, "raven/{}.selections.txt", "labels.selections.txt"),
    "kaleidoscope": LabelFormat(write_kaleidoscope, None, "labels.kaleidoscope.csv"),
    "birdnet": LabelFormat(write_birdnet, "birdnet/{}.results.csv", "labels.birdnet.csv"),
    "json": LabelFormat(write_json, None, "labels.json"),
    "parquet": LabelFormat(write_parquet, None, "labels.parquet"),
}
