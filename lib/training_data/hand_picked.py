"""Windows that were inserted by hand of recordings that the extract stage holds, too.

The stage would store the same sound again: as background where it is not annotated, which contradicts the class that
was given by hand. So the window that was picked by hand takes the place of the stage's at the same time, with its
classes, and of background that it overlaps.
"""

from collections.abc import Iterable

import numpy as np
from sqlalchemy import ColumnElement, Connection, Select, delete, literal, select, update
from sqlalchemy.dialects.sqlite import insert

from lib.core.incremental import AGAIN
from lib.training_data import training_tables as tables

SAME_OFFSET = 0.005
"""Seconds, at most, between offsets of the same segment: names of pictures are rounded to hundredths."""


def same_offset(length: float) -> float:
    """Seconds, at most, between offsets of the same segment of that length (s)."""
    return min(SAME_OFFSET, length / 100)


def picked_contents(connection: Connection) -> set[str]:
    """Digests of the recordings of which windows were inserted by hand."""
    columns = tables.recording.c
    query = select(columns.Content).where(columns.Key.is_(None), columns.Content.is_not(None))
    return set(connection.execute(query).scalars())


def prefer_hand_picked(connection: Connection, content: str, length: float) -> None:
    """Let windows of a recording that were inserted by hand take the place of the extract stage's, and its classes.

    The stage reads such a recording again in each run: the windows may be deleted by then, or the annotations changed.

    Args:
        content: digest of the recording's file.
        length: of the windows, s.
    """
    recording, segment, label = tables.recording.c, tables.segment.c, tables.segment_class
    in_group = select(tables.spec_value.c.SegmentID).join(tables.spec_group).filter_by(Name=tables.DEFAULT)
    picked = _segments(connection, (recording.Content == content) & recording.Key.is_(None) & segment.ID.in_(in_group))
    others = _segments(connection, (recording.Content == content) & recording.Key.is_not(None))
    if not len(picked) or not len(others):
        return
    apart = np.abs(others["offset"][:, None] - picked["offset"])
    is_same = apart <= same_offset(length)
    for other, chosen in zip(*np.nonzero(is_same), strict=True):
        labels = select(literal(int(picked["id"][chosen])), label.c.ClassID, label.c.SoundTypeID, literal(1))
        labels = labels.where(label.c.SegmentID == int(others["id"][other]))
        columns = ["SegmentID", "ClassID", "SoundTypeID", "Copied"]
        connection.execute(insert(label).from_select(columns, labels).on_conflict_do_nothing())
    labelled = select(label.c.SegmentID).join(tables.segment).where(segment.RecordingID.in_(_ids(others["recording"])))
    is_background = ~np.isin(others["id"], list(connection.execute(labelled).scalars()))
    is_replaced = is_same.any(axis=1) | (is_background & (apart < length - same_offset(length)).any(axis=1))
    connection.execute(delete(tables.segment).where(segment.ID.in_(_ids(others["id"][is_replaced]))))
    to_be_read = recording.ID.in_(_ids(others["recording"][is_replaced])) & ~recording.Key.endswith(AGAIN)
    connection.execute(update(tables.recording).where(to_be_read).values(Key=recording.Key + AGAIN))


def forget_copied(connection: Connection, content: str | None = None) -> None:
    """Take the classes of annotations from windows that were inserted by hand.

    content: digest of the recording's file; None: of each recording that the extract stage has no longer.
    """
    recording, segment, label = tables.recording.c, tables.segment.c, tables.segment_class.c
    extracted = select(recording.Content).where(recording.Key.is_not(None))
    chosen = recording.Content.not_in(extracted) if content is None else recording.Content == content
    left = select(segment.ID).join(tables.recording).where(recording.Key.is_(None), chosen)
    connection.execute(delete(tables.segment_class).where(label.Copied.is_not(None), label.SegmentID.in_(left)))


def _segments(connection: Connection, condition: ColumnElement[bool]) -> np.ndarray:
    """Segments: id, recording (ID) and offset (s)."""
    recording, segment = tables.recording.c, tables.segment.c
    query: Select = select(segment.ID, recording.ID, segment.Offset).join_from(tables.segment, tables.recording)
    rows = [tuple(row) for row in connection.execute(query.where(condition).order_by(segment.ID))]
    return np.array(rows, [("id", np.int64), ("recording", np.int64), ("offset", np.float64)])


def _ids(ids: Iterable[int]) -> list[int]:
    return sorted({int(each) for each in ids})
