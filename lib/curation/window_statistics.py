"""What spectrograms look like, in a few hundred numbers: for each frequency band, how its level is spread over time.

A linear classifier of such summaries is the usual first baseline of environmental sound (Piczak, ESC: Dataset for
Environmental Sound Classification, 2015, with means and deviations of MFCC). They need no model, so labels that a model
learned by heart cannot leak into them.
"""

import numpy as np

from lib.core.progress import progress
from lib.training_data.stored_windows import StoredWindows

PERCENTILES = (5, 25, 50, 75, 95)
BATCH = 256


def window_statistics(windows: StoredWindows) -> np.ndarray:
    """Statistics of all windows of a training database, float32 (n_windows, 9 * spec_height)."""
    batches = np.array_split(np.arange(len(windows)), -(-len(windows) // BATCH))
    described = (band_statistics(windows.spectrograms(batch) / np.float32(255)) for batch in batches)
    return np.concatenate(list(progress(described, "describe", len(batches), "blocks")))


def band_statistics(spectrograms: np.ndarray) -> np.ndarray:
    """Of each band its mean, deviation and PERCENTILES over time, and the mean size and deviation of its change from
    frame to frame: float32 (n, 9 * height).

    spectrograms: (n, height, width), 0..1.

    >>> band_statistics(np.ones((2, 4, 10), np.float32)).shape
    (2, 36)
    """
    change = np.diff(spectrograms, axis=2)
    levels = [spectrograms.mean(axis=2), spectrograms.std(axis=2), *np.percentile(spectrograms, PERCENTILES, axis=2)]
    return np.concatenate([*levels, np.abs(change).mean(axis=2), change.std(axis=2)], axis=1).astype(np.float32)
