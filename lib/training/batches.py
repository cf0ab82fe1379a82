"""The batches of an epoch: in what order windows are shown, and how they are read."""

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lib.training_data.stored_windows import StoredWindows


def epoch_order(indices: np.ndarray, at_least: int, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """The batches of an epoch: all windows in random order, repeated until there are `at_least` of them."""
    rng = np.random.default_rng([seed, epoch])
    rounds = max(1, -(-at_least // len(indices)))
    order = np.concatenate([rng.permutation(indices) for _ in range(rounds)])[: max(at_least, len(indices))]
    return np.array_split(order, -(-len(order) // batch_size))


def load_batches(windows: StoredWindows, batches: list[np.ndarray], workers: int) -> DataLoader:
    """Batches of (spectrograms uint8 (n, height, width), labels bool (n, n_classes)), read by that many processes."""
    return DataLoader(_Batches(windows, batches), batch_size=None, num_workers=workers)


class _Batches(Dataset):
    def __init__(self, windows: StoredWindows, batches: list[np.ndarray]) -> None:
        self.windows, self.batches = windows, batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        batch = self.batches[i]
        return torch.from_numpy(self.windows.spectrograms(batch)), torch.from_numpy(self.windows.labels[batch])
