"""The windows of a recording: window k starts k hops after its start."""

import numpy as np

MIN_TAIL = 0.3
"""Seconds of sound after the last whole window (or half a window, if that is less) above which another, partly empty
window is added."""
TOLERANCE = 1e-6
"""Relative to a hop or window; decimal times are not exact in binary."""


def n_windows(seconds: float, length: float, hop: float) -> int:
    """Number of windows of `length` s, one every `hop` s, that cover a recording of `seconds` s.

    All windows that fit, and one more if the tail after them is longer than MIN_TAIL. A recording that is shorter than
    a window gets one. Every window holds some of the recording, also where the hop is longer than a window.

    >>> n_windows(9.5, 3, 3), n_windows(9.5, 3, 5), n_windows(10.5, 3, 5)
    (4, 2, 3)
    """
    if seconds <= 0:
        return 0
    n_whole = max(0, int(np.floor((seconds - length + TOLERANCE * length) / hop)) + 1)
    covered = max((n_whole - 1) * hop + length, n_whole * hop) if n_whole else 0.0  # or passed over by a long hop
    tail = seconds - covered > min(MIN_TAIL, length / 2)
    return max(1, n_whole + tail)


def window_starts(seconds: float, length: float, hop: float) -> np.ndarray:
    """Start times (s) of the windows of n_windows, float64 (n_windows,)."""
    return np.arange(n_windows(seconds, length, hop)) * hop
