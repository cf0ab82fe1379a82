"""What a training learns: the windows of each model, split by recording into those that train and those that validate.

A task is one training run. There is one for each fold of a cross-validation, else a single one.
"""

import copy
import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lib.config.schema import TrainSettings
from lib.core.errors import EarshotError, Problem, SettingsError
from lib.models.description import Description
from lib.training.batches import epoch_order
from lib.training.training_state import start_digest
from lib.training_data.stored_windows import StoredWindows

Split = tuple[np.ndarray, np.ndarray]
"""Indices of the windows to train with and of those to validate with; a recording's windows stay together."""


@dataclass(frozen=True)
class Task:
    """What one model learns."""

    windows: StoredWindows  # without the noise class
    noise: np.ndarray  # which windows hold the noise class alone, bool (n_windows,)
    split: Split
    settings: TrainSettings
    fold: int = 0  # its number, from 1; 0 without cross-validation

    @cached_property
    def training(self) -> np.ndarray:
        """Indices of the windows to train with; with a single label per window, only those that have one."""
        return self._usable(self.split[0])

    @cached_property
    def validating(self) -> np.ndarray:
        """Indices of the windows to validate with, likewise."""
        return self._usable(self.split[1])

    @cached_property
    def background(self) -> np.ndarray:
        """Indices of the training windows without any class, to mix under others."""
        return self.split[0][~self.windows.labels[self.split[0]].any(axis=1)]

    @cached_property
    def truth(self) -> np.ndarray:
        """Classes of the validation windows, bool (n, n_classes)."""
        return self.windows.labels[self.validating]

    def _usable(self, indices: np.ndarray) -> np.ndarray:
        return indices if self.settings.multi_label else indices[self.windows.labels[indices].any(axis=1)]

    def order(self, epoch: int) -> list[np.ndarray]:
        """The batches of an epoch, from 0, as indices of windows."""
        settings = self.settings
        return epoch_order(self.training, settings.epoch_windows, settings.batch_size, settings.seed, epoch)

    def describe(self, epochs: int) -> Description:
        """The description of the model after that many epochs."""
        counts = {"windows": len(self.training), "validation_windows": len(self.validating), "epochs": epochs}
        origin = {"seed": self.settings.seed, "fold": self.fold or None, "load_checkpoint": self._start}
        training = counts | {key: value for key, value in origin.items() if value is not None}
        classes = self.windows.classes.fillna("").to_dict("records")
        return Description.of(classes, self.windows.audio, self.settings, training)

    @cached_property
    def _start(self) -> str | None:
        return start_digest(self.settings)


def make_tasks(windows: StoredWindows, settings: TrainSettings) -> tuple[list[Task], list[Problem]]:
    """The task of each fold, or the only one, and problems of single classes and folds.

    Raises EarshotError if the data cannot train a model.
    """
    windows, noise = set_noise_apart(windows, settings.noise_class)
    problems = _check_classes(windows, settings)
    n_folds = settings.num_folds
    if n_folds > 1:
        splits = enumerate(split_folds(windows, n_folds, settings.seed), 1)
    else:
        splits = enumerate([split_recordings(windows, settings.val_fraction, settings.seed)])
    tasks = [Task(windows, noise, split, settings, fold) for fold, split in splits]
    unjudged = [task for task in tasks if not len(task.validating)]
    if settings.threshold_precision is not None and len(unjudged) == len(tasks):
        setting = f"train.threshold_precision = {settings.threshold_precision:g}"
        raise SettingsError(setting, "no window validates", "set train.val_fraction above 0, or add recordings")
    fault, remedy = "no window validates its model", "add recordings, or lower train.num_folds"
    problems += [Problem(f"fold {task.fold}", fault, remedy, lost=False) for task in unjudged if n_folds > 1]
    return tasks, problems


def _check_classes(windows: StoredWindows, settings: TrainSettings) -> list[Problem]:
    """Problems of single classes. Raises EarshotError if there is nothing to learn."""
    names = windows.classes["name"]
    if len(names) < 2 and not settings.multi_label:
        raise EarshotError("train.multi_label = False", "needs two classes or more", "set it to true or add a class")
    if not windows.labels.any():
        raise EarshotError("", "no window has a class", "check the annotations and extract.min_seconds")
    n_several = np.count_nonzero(windows.labels.sum(axis=1) > 1)
    if not settings.multi_label and n_several:
        fault = f"{n_several} windows have more than one class"
        raise EarshotError("train.multi_label = False", fault, "set it to true")
    problems = []
    for name, n_recordings in zip(names, _classes_of_recordings(windows).sum(axis=0), strict=True):
        if n_recordings == 0:
            problems.append(Problem(name, "no window has this class", "annotate it, or remove it from classes.csv"))
        elif n_recordings == 1:
            remedy = "add recordings of it; its accuracy is not known"
            problems.append(Problem(name, "only one recording has this class", remedy, lost=False))
    return problems


def set_noise_apart(windows: StoredWindows, noise_class: str | None) -> tuple[StoredWindows, np.ndarray]:
    """The windows without the noise class, and which of them held it alone, bool (n_windows,).

    Windows that hold only the noise class become background. Raises SettingsError if there is no such class.
    """
    names = list(windows.classes["name"])
    if noise_class is None:
        return windows, np.zeros(len(windows.labels), bool)
    if noise_class not in names:
        close = ", ".join(difflib.get_close_matches(noise_class, names, 6) or names[:6])
        raise SettingsError(f"train.noise_class = {noise_class!r}", "the training database has no such class", close)
    column = names.index(noise_class)
    others = copy.copy(windows)
    others.labels = np.delete(windows.labels, column, axis=1)
    others.classes = windows.classes.drop(index=column).reset_index(drop=True)
    return others, windows.labels[:, column] & ~others.labels.any(axis=1)


def split_recordings(windows: StoredWindows, fraction: float, seed: int) -> Split:
    """Hold out about `fraction` of the recordings, drawn by seed, for validation.

    The last recording with some class always trains.
    """
    has = _classes_of_recordings(windows)
    order = np.random.default_rng(seed).permutation(len(has))
    return _split(windows, _held_out(has, order, round(fraction * len(has))))


def split_folds(windows: StoredWindows, n: int, seed: int) -> list[Split]:
    """Split the recordings into n folds, each of which validates once while the others train.

    Every fold gets the same number of recordings, and of recordings of each class, beginning with the rarest class
    (Sechidis et al., On the Stratification of Multi-Label Data, 2011); ties are broken by chance, by seed. The last
    recording with some class trains in every fold. Raises SettingsError if there are fewer recordings than folds.
    """
    has = _classes_of_recordings(windows)
    if len(has) < n:
        raise SettingsError(f"train.num_folds = {n}", f"there are only {len(has)} recordings", "set at most that many")
    rng = np.random.default_rng(seed)
    wanted = np.tile(np.column_stack([has, np.ones(len(has))]).sum(axis=0) / n, (n, 1))  # of each class, and of any
    fold = np.full(len(has), -1)
    rarest_first = np.argsort(has.sum(axis=0), kind="stable")
    for column in [*rarest_first, -1]:
        chosen = fold < 0 if column < 0 else (fold < 0) & has[:, column]
        for recording in rng.permutation(np.flatnonzero(chosen)):
            best = max(range(n), key=lambda i: (wanted[i, column], wanted[i, -1], rng.random()))
            fold[recording] = best
            wanted[best] -= [*has[recording], 1]
    return [_split(windows, _held_out(has, np.flatnonzero(fold == i), len(has))) for i in range(n)]


def _classes_of_recordings(windows: StoredWindows) -> np.ndarray:
    """Which recording has which class, bool (n_recordings, n_classes)."""
    has = np.zeros((len(windows.recordings), windows.labels.shape[1]), bool)
    np.logical_or.at(has, windows.recording, windows.labels)
    return has


def _held_out(has: np.ndarray, candidates: Iterable[int], at_most: int) -> np.ndarray:
    """Which recordings validate, bool: the first candidates without which every class can still be learnt."""
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
