"""Which windows train, which validate, and in what order."""

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lib.database.stored_windows import StoredWindows


def split_recordings(windows: StoredWindows, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the windows to train with and of those to validate with; a recording's windows stay together.

    About `fraction` of the recordings validate, drawn by seed. A recording that is the last one left with some class
    always trains.
    """
    n = len(windows.recordings)
    has = np.zeros((n, windows.labels.shape[1]), bool)
    np.logical_or.at(has, windows.recording, windows.labels)
    left = has.sum(axis=0)
    validating = np.zeros(n, bool)
    for recording in np.random.default_rng(seed).permutation(n):
        if validating.sum() >= round(fraction * n):
            break
        if (left[has[recording]] > 1).all():
            validating[recording] = True
            left -= has[recording]
    chosen = validating[windows.recording]
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def epoch_order(indices: np.ndarray, at_least: int, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """An epoch's batches: every window once in random order, again and again until there are `at_least` of them."""
    rng = np.random.default_rng([seed, epoch])
    rounds = max(1, -(-at_least // len(indices)))
    order = np.concatenate([rng.permutation(indices) for _ in range(rounds)])[: max(at_least, len(indices))]
    return np.array_split(order, -(-len(order) // batch_size))


def load_batches(windows: StoredWindows, batches: list[np.ndarray], workers: int) -> DataLoader:
    """Batches of (spectrograms uint8 (n, height, width), labels bool (n, n_classes))."""
    return DataLoader(_Batches(windows, batches), batch_size=None, num_workers=workers)


class _Batches(Dataset):
    def __init__(self, windows: StoredWindows, batches: list[np.ndarray]) -> None:
        self.windows, self.batches = windows, batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        batch = self.batches[i]
        return torch.from_numpy(self.windows.spectrograms(batch)), torch.from_numpy(self.windows.labels[batch])
