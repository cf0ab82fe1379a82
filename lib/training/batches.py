"""Which windows train, which validate, and in what order."""

import copy
import difflib
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lib.database.stored_windows import StoredWindows
from lib.errors import SettingsError

Split = tuple[np.ndarray, np.ndarray]
"""Indices of the windows to train with and of those to validate with; a recording's windows stay together."""


def set_noise_apart(windows: StoredWindows, noise_class: str | None) -> tuple[StoredWindows, np.ndarray]:
    """The windows without that class, and which of them had it alone, bool (n_windows,).

    What is only noise becomes background. Raises SettingsError if there is no such class.
    """
    names = list(windows.classes["name"])
    if noise_class is None:
        return windows, np.zeros(len(windows.labels), bool)
    if noise_class not in names:
        close = ", ".join(difflib.get_close_matches(noise_class, names, 6) or names[:6])
        raise SettingsError(f"train.noise_class = {noise_class!r}: the training database has no such class; {close}")
    column = names.index(noise_class)
    others = copy.copy(windows)
    others.labels = np.delete(windows.labels, column, axis=1)
    others.classes = windows.classes.drop(index=column).reset_index(drop=True)
    return others, windows.labels[:, column] & ~others.labels.any(axis=1)


def split_recordings(windows: StoredWindows, fraction: float, seed: int) -> Split:
    """About `fraction` of the recordings validate, drawn by seed; the others train.

    A recording that is the last one left with some class always trains.
    """
    has = _classes_of_recordings(windows)
    order = np.random.default_rng(seed).permutation(len(has))
    return _split(windows, _spare(has, order, round(fraction * len(has))))


def split_folds(windows: StoredWindows, n: int, seed: int) -> list[Split]:
    """For each of n folds its windows as those that validate, and the others as those that train.

    Recordings are dealt to the folds so that each gets the same number of them, and of each class the same number,
    beginning with the rarest class (Sechidis et al., On the Stratification of Multi-Label Data, 2011); chance, by seed,
    decides between folds that want a recording alike. One that is the last with some class trains in every fold.
    Raises SettingsError if there are fewer recordings than folds.
    """
    has = _classes_of_recordings(windows)
    if len(has) < n:
        raise SettingsError(f"train.num_folds = {n}: there are only {len(has)} recordings; set at most that many")
    rng = np.random.default_rng(seed)
    wanted = np.tile(np.column_stack([has, np.ones(len(has))]).sum(axis=0) / n, (n, 1))  # of each class, and of any
    fold = np.full(len(has), -1)
    for column in [*_rarest_first(has), -1]:
        chosen = fold < 0 if column < 0 else (fold < 0) & has[:, column]
        for recording in rng.permutation(np.flatnonzero(chosen)):
            best = max(range(n), key=lambda i: (wanted[i, column], wanted[i, -1], rng.random()))
            fold[recording] = best
            wanted[best] -= [*has[recording], 1]
    return [_split(windows, _spare(has, np.flatnonzero(fold == i), len(has))) for i in range(n)]


def _rarest_first(has: np.ndarray) -> np.ndarray:
    return np.argsort(has.sum(axis=0), kind="stable")


def _classes_of_recordings(windows: StoredWindows) -> np.ndarray:
    """Which recording has which class, bool (n_recordings, n_classes)."""
    has = np.zeros((len(windows.recordings), windows.labels.shape[1]), bool)
    np.logical_or.at(has, windows.recording, windows.labels)
    return has


def _spare(has: np.ndarray, candidates: Iterable[int], at_most: int) -> np.ndarray:
    """Which recordings validate, bool: the first of the candidates without which every class can still be learnt."""
    left = has.sum(axis=0)
    validating = np.zeros(len(has), bool)
    for recording in candidates:
        if validating.sum() >= at_most:
            break
        if (left[has[recording]] > 1).all():
            validating[recording] = True
            left -= has[recording]
    return validating


def _split(windows: StoredWindows, validating: np.ndarray) -> Split:
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
