"""The one rule for when an event is present in a window. An event is present

- in each window that contains at least min_seconds of it, or all of it if it is shorter;
- if it straddles a border so that no window contains that much: in the window that contains most of it, the earlier of
  two equal ones.

Events are cut at the end of the recording. The first part of the rule is that of BriteKit's PerSegmentTester, which
drops the events of the second part.
"""

import numpy as np

from lib.config.schema import EvaluateSettings
from lib.sound.grid.windows import TOLERANCE

PRESENCE_SECONDS: float = EvaluateSettings.model_fields["min_seconds"].default
"""Default of min_seconds: seconds of an event that make it present in a window."""


def windows_with_event(
    start_time: np.ndarray | float,
    end_time: np.ndarray | float,
    length: float,
    hop: float,
    min_seconds: float,
    count: np.ndarray | int,
) -> tuple[np.ndarray, np.ndarray]:
    """First and last index, int (n,) each, of the windows in which events are present; first > last: in none.

    Args:
        start_time, end_time: of the events, float (n,), s; finite, 0 <= start_time <= end_time, cut at the end of the
            recording.
        length, hop: of the windows, s.
        min_seconds: of an event that make it present in a window.
        count: number of windows of each event's recording.

    >>> windows_with_event(2.8, 3.2, length=3, hop=3, min_seconds=0.3, count=2)
    (array(0), array(0))
    """
    needed = np.minimum(min(min_seconds, length), end_time - start_time)
    first = np.maximum(np.ceil((start_time + needed - length) / hop - TOLERANCE), 0)
    last = np.minimum(np.floor((end_time - needed) / hop + TOLERANCE), count - 1)

    earlier = np.clip(np.floor(start_time / hop + TOLERANCE), 0, count - 1)  # this window or the next holds most of it
    later = np.minimum(earlier + 1, count - 1)
    in_earlier, in_later = (
        np.minimum(end_time, index * hop + length) - np.maximum(start_time, index * hop) for index in (earlier, later)
    )
    fullest = np.where(in_later > in_earlier + TOLERANCE * hop, later, earlier)
    is_split = (first > last) & (np.maximum(in_earlier, in_later) > TOLERANCE * hop)
    return np.where(is_split, fullest, first).astype(np.int64), np.where(is_split, fullest, last).astype(np.int64)


def expand_ranges(first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All indices of ranges first..last (n,), both included: positions of their ranges, and indices; int (m,) each.

    >>> expand_ranges(np.array([4, 1]), np.array([5, 1]))
    (array([0, 0, 1]), array([4, 5, 1]))
    """
    sizes = np.maximum(last - first + 1, 0)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    return owner, first[owner] + np.arange(len(owner)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
