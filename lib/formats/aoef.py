"""Format `aoef`: annotations in Whombat's exchange format, AOEF (.json), read by soundevent.

Annotation sets, annotation projects and evaluation sets are read. Each sound event becomes an annotation: its time and
frequency bounds and, as its class, the value of its first tag whose term is among CLASS_TERMS, else that of its first
tag. A clip without sound events whose tags have such a term is annotated from its start to its end. Recordings are
found by their file names.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.core.errors import DataSetError
from lib.formats import READERS
from lib.formats.annotation_files import annotation_file_reader, head_of
from lib.sound.annotations import AnnotationRow
from lib.sound.recordings import RecordingFinder

if TYPE_CHECKING:
    from soundevent.data import Geometry, SoundEventAnnotation, Tag

TYPES = ("annotation_set", "annotation_project", "evaluation_set")
CLASS_TERMS = ("class", "label", "species", "common name", "scientific taxon name", "scientific name", "event")
"""Names of terms, in lower case, whose tags tell the class, by precedence."""
KEYS = {"dwc:scientificName": "scientific name", "dwc:vernacularName": "common name", "dwc:species": "species"}
TYPE = re.compile(rb'"collection_type"\s*:\s*"(\w+)"')


def _is_annotation_file(file: Path) -> bool:
    match = TYPE.search(head_of(file))
    return match is not None and match[1].decode() in TYPES


def _rows_of(file: Path, finder: RecordingFinder) -> list[AnnotationRow]:
    """The sound events and weakly labelled clips of a file. Raises DataSetError."""
    import soundevent.io

    try:
        content: Any = soundevent.io.load(file, audio_dir=file.parent)
    except (ValueError, KeyError, AttributeError, RecursionError, OSError) as error:  # ValueError: of another schema
        message = str(error).splitlines()[0]
        raise DataSetError(file, f"is not AOEF ({message})", "export it from Whombat again") from None
    rows = []
    for clip in content.clip_annotations:
        base = {"recording": finder.named(str(clip.clip.recording.path), file), "line": f" clip {clip.uuid}"}
        rows += [base | _event_row(event) for event in clip.sound_events]
        if not clip.sound_events and (name := _named_class(clip.tags)):
            rows.append(base | {"class": name, "start_time": clip.clip.start_time, "end_time": clip.clip.end_time})
    return rows


def _event_row(event: "SoundEventAnnotation") -> AnnotationRow:
    user, tags, geometry = event.created_by, event.tags, event.sound_event.geometry
    return {
        "class": _named_class(tags) or (tags[0].value if tags else ""),
        "annotator": (user.name or user.username or user.email or "") if user else "",
        "line": f" sound event {event.uuid}",
    } | (_bounds(geometry) if geometry else {})


def _named_class(tags: "Sequence[Tag]") -> str:
    """The value of the tag whose term comes first in CLASS_TERMS; empty if there is none."""
    by_term: dict[str, str] = {}
    for tag in tags:
        for term in (tag.term.label, tag.term.name):
            by_term.setdefault(KEYS.get(term, term).casefold(), tag.value)
    return next((by_term[term] for term in CLASS_TERMS if term in by_term), "")


def _bounds(geometry: "Geometry") -> AnnotationRow:
    """Bounds of a geometry in time (s) and, if it has them, in frequency (Hz)."""
    numbers = _numbers(geometry.coordinates)
    if geometry.type in ("TimeStamp", "TimeInterval"):
        return {"start_time": numbers[0], "end_time": numbers[-1]}
    times, frequencies = numbers[::2], numbers[1::2]
    bounds = {"start_time": min(times), "end_time": max(times)}
    return bounds | {"low_freq": min(frequencies), "high_freq": max(frequencies)}


def _numbers(coordinates: Any) -> list[float]:
    """The numbers in nested lists, in their order."""
    if isinstance(coordinates, int | float):
        return [coordinates]
    return [number for part in coordinates for number in _numbers(part)]


READERS.register("aoef", annotation_file_reader(5, "AOEF files", ".json", _is_annotation_file, _rows_of))
