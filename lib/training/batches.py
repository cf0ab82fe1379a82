"""The batches of an epoch: in what order windows are shown, and how they are read."""

import sys

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lib.audio.spectrograms import Takes
from lib.training_data.stored_windows import StoredWindows


def epoch_order(indices: np.ndarray, at_least: int, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """The batches of an epoch: all windows in random order, repeated until there are `at_least` of them.

    None is of a single window, which has no variance that a batch normalization could learn from, unless it is the only
    one; with a batch_size of 2 and an odd number of windows, one batch has 3.
    """
    rng = np.random.default_rng([seed, epoch])
    rounds = max(1, -(-at_least // len(indices)))
    order = np.concatenate([rng.permutation(indices) for _ in range(rounds)])[: max(at_least, len(indices))]
    n_batches = min(-(-len(order) // batch_size), len(order) // 2)
    return np.array_split(order, max(1, n_batches))


def load_batches(
    windows: StoredWindows, batches: list[np.ndarray], workers: int, takes: Takes = "spectrograms"
) -> DataLoader:
    """Batches of (inputs, see read_inputs, and labels bool (n, n_classes)), read by that many processes."""
    reader = _Batches(windows, batches, takes)
    return DataLoader(reader, batch_size=None, num_workers=workers, worker_init_fn=_ignore_lost_connections)


def read_inputs(windows: StoredWindows, indices: np.ndarray, takes: Takes) -> Tensor:
    """What training takes of windows: spectrograms, uint8 (n, height, width) in 0..255, or sound, float32 (n, samples).

    Raises SettingsError if the database does not hold their sound.
    """
    return torch.from_numpy((windows.sounds if takes == "waveforms" else windows.spectrograms)(indices))


def scaled(inputs: Tensor) -> Tensor:
    """Inputs as read_inputs gives them, as a model takes them: spectrograms in 0..1."""
    return inputs.float() / 255 if inputs.dtype == torch.uint8 else inputs


def _ignore_lost_connections(_: int) -> None:
    """Print nothing when the training ends while this reader hands a batch over: there is nobody left to take it."""
    say = sys.excepthook
    sys.excepthook = lambda kind, fault, trace: None if issubclass(kind, ConnectionError) else say(kind, fault, trace)


class _Batches(Dataset):
    def __init__(self, windows: StoredWindows, batches: list[np.ndarray], takes: Takes) -> None:
        self.windows, self.batches, self.takes = windows, batches, takes

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        batch = self.batches[i]
        return read_inputs(self.windows, batch, self.takes), torch.from_numpy(self.windows.labels[batch])
