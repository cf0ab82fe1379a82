"""Format `batdetect2`: annotations as batdetect2 keeps them, a file `a.wav.json` for each recording `a.wav`.

Times and frequencies are those of the animal; in a recording that was slowed down by the factor `time_exp`, times are
multiplied by it and frequencies divided. Files that are not marked as annotated are left out.
"""

import json
import math
from pathlib import Path

from lib.core.errors import DataSetError
from lib.core.files import read_bytes
from lib.formats import READERS
from lib.formats.annotation_files import annotation_file_reader, head_of
from lib.sound.annotations import AnnotationRow
from lib.sound.recordings import RecordingFinder


def _is_annotation_file(file: Path) -> bool:
    head = head_of(file)
    return head.lstrip().startswith(b"{") and b'"annotation"' in head and b"collection_type" not in head


def _rows_of(file: Path, finder: RecordingFinder) -> list[AnnotationRow]:
    """The annotations of a file. Raises DataSetError."""
    try:
        content = json.loads(read_bytes(file))
        slowed = float(content.get("time_exp") or 1)
        annotations = list(map(dict, content["annotation"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataSetError(file, f"is not as batdetect2 writes it ({error})", "export it again") from None
    if not content.get("annotated", True):
        raise DataSetError(file, "is not marked as annotated", "finish it, or remove it")
    name = str(content.get("id") or "")
    recording = finder.named(name, file) if name else finder.annotated_by_or_guessed(file)
    factors = {"start_time": slowed, "end_time": slowed, "low_freq": 1 / slowed, "high_freq": 1 / slowed}
    rows = []
    for number, annotation in enumerate(annotations, 1):
        row: AnnotationRow = {"recording": recording, "class": str(annotation.get("class") or "")}
        row |= {column: _scaled(annotation.get(column), factor) for column, factor in factors.items()}
        rows.append(row | {"confidence": annotation.get("det_prob", ""), "line": f" annotation {number}"})
    return rows


def _scaled(value: object, factor: float) -> object:
    try:
        return value * factor if isinstance(value, int | float) else value
    except OverflowError:  # a number of hundreds of digits
        return math.nan


READERS.register("batdetect2", annotation_file_reader(6, "batdetect2 files", ".json", _is_annotation_file, _rows_of))
