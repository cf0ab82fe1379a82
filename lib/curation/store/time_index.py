"""Which of the frames or labels of a recording reach into a stretch of it."""

from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

Item = TypeVar("Item")


class TimeIndex(Generic[Item]):
    """Items of a recording, of which those are found that share some time with a stretch.

    Args:
        items: anything.
        starts, ends: of each, s.
    """

    def __init__(self, items: Sequence[Item], starts: Sequence[float], ends: Sequence[float]) -> None:
        self._items, self._starts, self._ends = items, np.array(starts, float), np.array(ends, float)

    def within(self, start: float, end: float) -> list[Item]:
        """The items that reach into start to end (s), in their order."""
        return [self._items[index] for index in np.flatnonzero((self._ends > start) & (self._starts < end)).tolist()]
