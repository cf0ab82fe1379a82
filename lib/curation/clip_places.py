"""Where sounds that people point at are among the clips of an index, whose IDs do not last but whose places do."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import select

from lib.audio.reader import probe
from lib.core.errors import AudioError
from lib.curation.clip_index import SIMILAR, Clip, ClipIndex
from lib.curation.clip_sources import FOUND
from lib.curation.clip_tables import CLIP, RECORDING
from lib.results.results_tables import json_values

POINTED = f"{SIMILAR} 0"
"""Origin of clips that are in the index only because somebody points at their place."""
UNKNOWN_SECONDS = 3.0
"""Taken of a sound without an end whose recording cannot be read."""
SLACK = 1e-6


class SoundPlace(NamedTuple):
    """A stretch (s) of a recording, and the classes that are meant there; none: whatever is in it."""

    recording: str
    start_time: float
    end_time: float
    classes: tuple[str, ...] = ()


class PlacedClip(NamedTuple):
    """A clip at a place, see Clip."""

    id: int
    origin: str
    class_name: str
    start_time: float
    end_time: float
    decision: str


def clip_end(clip: Clip) -> float:
    """Where a clip ends (s), also if that is where its recording does."""
    if math.isfinite(clip.end_time):
        return clip.end_time
    try:
        return clip.seconds or probe(clip.path).seconds or clip.start_time + UNKNOWN_SECONDS
    except AudioError:
        return clip.start_time + UNKNOWN_SECONDS


def data_sets_of(index: ClipIndex, ids: Sequence[int]) -> set[str]:
    """The data sets that clips are of: test, train, or "" for none."""
    query = select(RECORDING.c.DataSet).distinct().select_from(CLIP).join(RECORDING)
    return {name for (name,) in index.rows(query.where(CLIP.c.ID.in_(select(json_values(ids).c.value))))}


def clips_at(index: ClipIndex, places: Sequence[SoundPlace]) -> list[list[PlacedClip]]:
    """For each place, a clip of each of its classes, or all clips of which more than half is in it.

    A sound that was neither found nor annotated becomes a clip of the index. Those of other recordings have none.
    """
    index.follow_decisions()
    found = _look(index, places)
    recordings = dict(map(tuple, index.rows(select(RECORDING.c.Name, RECORDING.c.ID))))  # type: ignore[arg-type]
    missing = {
        (place, name)
        for place, clips in zip(places, found, strict=True)
        for name in set(place.classes) - {clip.class_name for clip in clips}
        if place.recording in recordings and name in index.classes and place.end_time > place.start_time
    }
    if not missing:
        return found
    columns = "RecordingID", "Class", "StartTime", "EndTime"
    rows = [(recordings[at.recording], name, at.start_time, at.end_time) for at, name in sorted(missing)]
    index.add([dict(zip(columns, row, strict=True)) | {"Origin": POINTED, "Score": None} for row in rows])
    index.follow_decisions()
    return _look(index, places)


def _look(index: ClipIndex, places: Sequence[SoundPlace]) -> list[list[PlacedClip]]:
    found: list[list[PlacedClip]] = [[] for _ in places]
    by_recording: dict[str, list[int]] = {}
    for k, place in enumerate(places):
        by_recording.setdefault(place.recording, []).append(k)
    columns = (CLIP.c.ID, CLIP.c.Origin, CLIP.c.Class, CLIP.c.StartTime, CLIP.c.EndTime, CLIP.c.Decision)
    for recording, those in by_recording.items():
        first = min(places[k].start_time for k in those)
        last = max(places[k].end_time for k in those)
        span = CLIP.c.StartTime < last, CLIP.c.EndTime > first
        query = select(*columns).select_from(CLIP).join(RECORDING).where(RECORDING.c.Name == recording, *span)
        clips = [PlacedClip(*row) for row in index.rows(query.order_by(CLIP.c.Origin != FOUND, CLIP.c.ID))]
        at: dict[tuple[str, float], list[PlacedClip]] = {}
        for clip in clips:
            at.setdefault((clip.class_name, round(clip.start_time, 6)), []).append(clip)
        for k in those:
            place = places[k]
            if not place.classes:
                found[k] = [clip for clip in clips if _is_inside(clip, place)]
            for name in place.classes:
                same = at.get((name, round(place.start_time, 6)), ())
                found[k] += [clip for clip in same if _ends_with(clip, place)][:1]
    return found


def _ends_with(clip: PlacedClip, place: SoundPlace) -> bool:
    return math.isinf(clip.end_time) or abs(clip.end_time - place.end_time) <= 2 * SLACK


def _is_inside(clip: PlacedClip, place: SoundPlace) -> bool:
    if clip.origin.startswith(SIMILAR):
        return False
    end = min(clip.end_time, place.end_time)
    if math.isinf(clip.end_time):
        return clip.start_time >= place.start_time and end > clip.start_time
    return end - max(clip.start_time, place.start_time) > (clip.end_time - clip.start_time) / 2
