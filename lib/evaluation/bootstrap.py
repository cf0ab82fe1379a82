"""Bootstrap intervals over recordings.

Segments of one recording resemble each other, so recordings are what is drawn with replacement, all segments of each
together (Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8). A draw is a weight for each
recording: how often it was drawn. An interval is the range between the 2.5th and the 97.5th percentile of a metric.
"""

import numpy as np


def draw(recordings: int, times: int, seed: int) -> np.ndarray:
    """Weights float32 (times, recordings) of that many resamplings; none of them where there is but one recording."""
    if recordings < 2:
        return np.zeros((0, recordings), np.float32)
    rng = np.random.default_rng(seed)
    return rng.multinomial(recordings, np.full(recordings, 1 / recordings), size=times).astype(np.float32)


def interval(samples: np.ndarray) -> tuple[float, float]:
    """Bounds of the 95 % interval of a metric's samples (times,); NaN samples (undefined there) do not count."""
    samples = samples[~np.isnan(samples)]
    if len(samples) == 0:
        return np.nan, np.nan
    low, high = np.percentile(samples, [2.5, 97.5])
    return float(low), float(high)
