"""The one rule for when an event is present in a window. An event is present

- in each window that contains at least min_seconds of it, or all of it if it is shorter;
- if it straddles a border so that no window contains that much: in the window that contains most of it, the earlier of
  two equal ones.

Events are cut at the start of the first window and at the end of the recording; one outside of these is present in no
window. The first part of the rule is that of BriteKit's PerSegmentTester, which drops the events of the second part.
"""

import numpy as np

from lib.sound.grid.windows import TOLERANCE


def windows_with_event(
    start_time: np.ndarray | float,
    end_time: np.ndarray | float,
    length: float,
    hop: float,
    min_seconds: float,
    count: np.ndarray | int,
    seconds: np.ndarray | float = np.inf,
) -> tuple[np.ndarray, np.ndarray]:
    """First and last index, int (n,) each, of the windows in which events are present; first > last: in none.

    Args:
        start_time, end_time: of the events, float (n,), s from the start of the first window; start_time <= end_time.
        length, hop: of the windows, s.
        min_seconds: of an event that make it present in a window.
        count: number of windows of each event's recording.
        seconds: of each event's recording, from the start of the first window; inf: events are not cut.

    >>> windows_with_event(2.8, 3.2, length=3, hop=3, min_seconds=0.3, count=2)
    (array(0), array(0))
    """
    start, end = np.maximum(start_time, 0), np.minimum(end_time, seconds)
    is_outside = (start_time >= seconds) | ((start_time < 0) & (end <= 0))
    end = np.maximum(end, start)
    needed = np.minimum(min(min_seconds, length), end - start)
    first = np.maximum(np.ceil((start + needed - length) / hop - TOLERANCE), 0)
    last = np.minimum(np.floor((end - needed) / hop + TOLERANCE), np.where(is_outside, 0, count) - 1)

    earlier = np.clip(np.floor(start / hop + TOLERANCE), 0, count - 1)  # this window or the next holds most of it
    later = np.minimum(earlier + 1, count - 1)
    in_earlier, in_later = (
        np.minimum(end, index * hop + length) - np.maximum(start, index * hop) for index in (earlier, later)
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
