"""The grid of windows over a recording, and the one rule for when an event is present in a window.

Extraction, inference and evaluation share both, so that a model is trained, run and evaluated on the same windows with
the same labels. Two numbers that are alike say different things: MIN_TAIL decides how many windows there are,
PRESENCE_SECONDS which of them have an event.
"""

from lib.sound.grid.presence import PRESENCE_SECONDS, expand_ranges, windows_with_event
from lib.sound.grid.windows import MIN_TAIL, n_windows, window_starts

__all__ = ["MIN_TAIL", "PRESENCE_SECONDS", "expand_ranges", "n_windows", "window_starts", "windows_with_event"]
