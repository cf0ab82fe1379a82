"""Where analysis windows lie in a recording: one grid for extraction, inference and evaluation."""

import numpy as np

MIN_TAIL = 0.3
"""Seconds of sound (or half a window, if that is less) for which a last, partly empty window is worth having."""


def n_windows(seconds: float, length: float, hop: float) -> int:
    """Number of windows of `length` s, one every `hop` s, that cover a recording of `seconds` s.

    The windows that fit whole, then one more of the grid if the tail behind them is longer than MIN_TAIL. A recording
    that is shorter than a window gets one.
    """
    if seconds <= 0:
        return 0
    slack = 1e-6 * length
    n_whole = max(0, int(np.floor((seconds - length + slack) / hop)) + 1)
    covered = (n_whole - 1) * hop + length if n_whole else 0.0
    tail = seconds - covered > min(MIN_TAIL, length / 2)
    return max(1, n_whole + tail)


def window_starts(seconds: float, length: float, hop: float) -> np.ndarray:
    """Start times (s) of those windows, float64 (n_windows,)."""
    return np.arange(n_windows(seconds, length, hop)) * hop
