"""Frames and labels as metrics, issues and searches read them, wherever they are: uploaded, in annotations, or in a
results store."""

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import pandas as pd

LABEL_COLUMNS = [
    *("frame_id", "label_id", "class", "start_time", "end_time", "low_freq", "high_freq", "confidence"),
    *("kind", "attributes"),
]
"""Of a table of truth labels or predictions.

start_time, end_time: s from the start of the recording; inf: to its end. low_freq, high_freq: Hz, nan: all frequencies.
confidence: 0..1, nan: none. kind: one of lib.curation.frames.label_kinds. attributes: a dict.
"""


class FrameSummary(NamedTuple):
    """What is known of a frame besides its labels.

    Args:
        frame_id: unique within its set.
        recording: name of the recording that it is, or is a window of.
        audio_url: where that is; "": unknown.
        start_time, end_time: s from the start of the recording; inf: to its end.
        date_captured: ISO 8601; "": unknown.
        device_id: "": unknown.
        metadata: the user's fields.
    """

    frame_id: str
    recording: str
    audio_url: str
    start_time: float
    end_time: float
    date_captured: str
    device_id: str
    metadata: dict[str, Any]


class FrameSource(Protocol):
    """The frames of a data set or an inference set, in the order of their ids, and their labels.

    frame_ids: only of these; None: all.
    """

    def frames(self, frame_ids: Collection[str] | None = None) -> Iterator[FrameSummary]:
        """The frames; of an inference set, those with predictions."""

    def labels(self, frame_ids: Collection[str] | None = None) -> "Iterator[pd.DataFrame]":
        """The labels in tables of LABEL_COLUMNS, of bounded size, so that memory does not grow with the set.

        A frame's labels may be spread over two tables.
        """

    def contents(self, frame_ids: Collection[str] | None = None) -> Iterator[dict[str, Any]]:
        """The frames as their to_dict gives them."""
