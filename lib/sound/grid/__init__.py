"""The grid of windows over a recording, and the one rule for when an event is present in a window.

Extraction, inference and evaluation share both, so that a model is trained, run and evaluated on the same windows with
the same labels. Two numbers are both 0.3 s and unrelated: MIN_TAIL, seconds of sound, decides how many windows a
recording has; PRESENCE_SECONDS, seconds of an event and the default of min_seconds, in which of them an event is
present.
"""

from lib.config.schema import PRESENCE_SECONDS
from lib.sound.grid.presence import expand_ranges, windows_with_event
from lib.sound.grid.windows import MIN_TAIL, n_windows, window_starts

__all__ = ["MIN_TAIL", "PRESENCE_SECONDS", "expand_ranges", "n_windows", "window_starts", "windows_with_event"]
