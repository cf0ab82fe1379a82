"""Bootstrap intervals over recordings.

Segments of one recording resemble each other, so recordings are what is drawn with replacement, all segments of each
together (Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8). A draw is a weight for each
recording: how often it was drawn. An interval is the range between the 2.5th and the 97.5th percentile of a metric.
"""

import numpy as np


def draw(recordings: int, times: int, seed: int) -> np.ndarray:
    """Weights of the recordings, float32 (1 + draws, recordings): as they are, then of each draw.

    A single recording is not drawn from.
    """
    rng, shares = np.random.default_rng(seed), np.full(recordings, 1 / recordings)
    weights = np.ones((1 + (times if recordings > 1 else 0), recordings), np.float32)
    for row in weights[1:]:
        row[:] = rng.multinomial(recordings, shares)
    return weights


def bounds(samples: np.ndarray) -> np.ndarray:
    """Bounds (metrics, 2) of the 95 % intervals of metrics.

    Args:
        samples: values of metrics, (metrics, 1 + draws), with those of the recordings as they are first. NaN
            (undefined in that draw) does not count.
    """
    low_high = np.full((len(samples), 2), np.nan)
    for row, values in zip(low_high, samples[:, 1:], strict=True):
        if len(defined := values[~np.isnan(values)]):
            row[:] = np.percentile(defined, [2.5, 97.5])
    return low_high


def figures(samples: dict[str, np.ndarray]) -> dict[str, float]:
    """Metrics, and the bounds of their intervals as <name>_low and <name>_high; without what is NaN.

    samples: name -> values (1 + draws,), as for `bounds`.
    """
    values: dict[str, float] = {}
    for name, (low, high) in zip(samples, bounds(np.stack(list(samples.values()))), strict=True):
        values |= {name: samples[name][0], f"{name}_low": low, f"{name}_high": high}
    return {name: round(float(value), 6) for name, value in values.items() if np.isfinite(value)}
