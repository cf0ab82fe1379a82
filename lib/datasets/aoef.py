"""Format `aoef`: annotations in Whombat's exchange format, AOEF (.json), read by soundevent.

It takes annotation sets, annotation projects and evaluation sets. Each sound event becomes an annotation: its time and
frequency bounds, and as its class the value of the first of its tags whose term is among CLASS_TERMS, else that of its
first tag. A clip without sound events whose tags have such a term is annotated from its start to its end. Recordings
are found by their file names.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lib.datasets.label_files import Finder, Row, label_files, read_label_files
from lib.errors import DataSetError, Problem
from lib.files import printable

if TYPE_CHECKING:
    from soundevent.data import Geometry, SoundEventAnnotation, Tag

TYPES = ("annotation_set", "annotation_project", "evaluation_set")
CLASS_TERMS = ("class", "label", "species", "common name", "scientific taxon name", "scientific name", "event")
"""By which a tag tells the class: names of terms, in lower case, the first before the others."""
KEYS = {"dwc:scientificName": "scientific name", "dwc:vernacularName": "common name", "dwc:species": "species"}
TYPE = re.compile(rb'"collection_type"\s*:\s*"(\w+)"')
HEAD = 2**16


def recognizes(folder: Path) -> bool:
    return any(map(_is_annotation_file, label_files(folder, ".json")))


def read(folder: Path, include: str | None) -> tuple[dict[str, Path], pd.DataFrame, list[Problem]]:
    files = [file for file in label_files(folder, ".json") if _is_annotation_file(file)]
    return read_label_files(folder, include, files, rows_of)


def rows_of(file: Path, finder: Finder) -> list[Row]:
    """The sound events and weakly labelled clips of a file. Raises DataSetError."""
    import soundevent.io

    try:
        content: Any = soundevent.io.load(file, audio_dir=file.parent)
    except (ValueError, KeyError, AttributeError, OSError) as error:  # ValueError: no JSON, or not as the format has it
        reason = str(error).splitlines()[0]
        raise DataSetError(f"{file}: is not AOEF ({reason}); export it from Whombat again") from None
    rows = []
    for clip in content.clip_annotations:
        recording = finder.named(str(clip.clip.recording.path), file)
        base = {"recording": recording, "line": f"{printable(str(file))}: clip {clip.uuid}"}
        rows += [base | _sound_event(event, file) for event in clip.sound_events]
        if not clip.sound_events and (name := _class_of(clip.tags, other=False)):
            span = {"start_time": clip.clip.start_time, "end_time": clip.clip.end_time}
            rows.append(base | {"class": name} | span)
    return rows


def _sound_event(event: "SoundEventAnnotation", file: Path) -> Row:
    user = event.created_by
    row = {"class": _class_of(event.tags, other=True), "line": f"{printable(str(file))}: sound event {event.uuid}"}
    row["annotator"] = (user.name or user.username or user.email or "") if user else ""
    return row | (_bounds(event.sound_event.geometry) if event.sound_event.geometry else {})


def _class_of(tags: "Sequence[Tag]", other: bool) -> str:
    """The class that tags tell, or nothing. other: take the first tag, whatever it is, if no term says class."""
    by_term: dict[str, str] = {}
    for tag in tags:
        for term in (tag.term.label, tag.term.name):
            by_term.setdefault(KEYS.get(term, term).casefold(), tag.value)
    named = next((by_term[term] for term in CLASS_TERMS if term in by_term), "")
    return named or (tags[0].value if tags and other else "")


def _bounds(geometry: "Geometry") -> Row:
    """Times (s) and frequencies (Hz) between which a geometry lies, as far as it tells them."""
    coordinates: Any = geometry.coordinates
    match geometry.type:
        case "TimeStamp":
            return {"start_time": coordinates, "end_time": coordinates}
        case "TimeInterval":
            return {"start_time": coordinates[0], "end_time": coordinates[1]}
        case "BoundingBox":
            points = _points([coordinates[:2], coordinates[2:]])
        case _:
            points = _points(coordinates)
    times, frequencies = zip(*points, strict=True)
    bounds = {"start_time": min(times), "end_time": max(times)}
    return bounds | {"low_freq": min(frequencies), "high_freq": max(frequencies)}


def _points(coordinates: Sequence) -> list[Sequence[float]]:
    """The (time, frequency) pairs in nested lists of them."""
    if isinstance(coordinates[0], int | float):
        return [coordinates]
    return [point for part in coordinates for point in _points(part)]


def _is_annotation_file(file: Path) -> bool:
    try:
        with file.open("rb") as content:
            match = TYPE.search(content.read(HEAD))
    except OSError:
        return False
    return match is not None and match[1].decode() in TYPES
