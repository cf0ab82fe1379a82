"""What a training learns: the windows of each model, split by recording into those that train and those that validate.

A task is one training run. There is one for each fold of a cross-validation, else a single one.
"""

import copy
import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from lib.config.schema import TrainSettings
from lib.core.digests import digest_of
from lib.core.errors import EarshotError, Problem, SettingsError
from lib.core.stratification import stratify
from lib.core.wording import counted
from lib.models.description import Description
from lib.models.losses import LOSSES
from lib.training.batches import epoch_order
from lib.training.training_state import start_digest, transforms_of
from lib.training_data.stored_windows import StoredWindows

QUICK_WINDOWS = 16
"""Windows of each class in a quick training, and as many to validate with."""
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

    @property
    def held_out(self) -> str:
        """Digest of the windows to validate with, by which a model's fold is known again."""
        windows, chosen = self.windows, self.validating
        names, starts = windows.recordings[windows.recording[chosen]].tolist(), windows.starts[chosen].tolist()
        return digest_of([names, starts])

    def _usable(self, indices: np.ndarray) -> np.ndarray:
        return indices if self.settings.multi_label else indices[self.windows.labels[indices].any(axis=1)]

    def order(self, epoch: int) -> list[np.ndarray]:
        """The batches of an epoch, from 0, as indices of windows."""
        settings = self.settings
        at_least = 0 if settings.quick else settings.epoch_windows
        return epoch_order(self.training, at_least, settings.batch_size, settings.seed, epoch)

    def describe(self, epochs: int) -> Description:
        """The description of the model after that many epochs. Raises SettingsError as Description.of."""
        classes = self.windows.classes.drop(columns="category").fillna("").to_dict("records")
        return Description.of(classes, self.windows.audio, self.settings, self.origin(epochs))

    def origin(self, epochs: int) -> dict[str, Any]:
        """How the model was trained, likewise, as its description tells."""
        counts = {"windows": len(self.training), "validation_windows": len(self.validating), "epochs": epochs}
        origin = {"seed": self.settings.seed, "fold": self.fold or None, "load_checkpoint": self._start}
        origin |= {"held_out": self.held_out if self.fold else None}
        return counts | {key: value for key, value in origin.items() if value is not None}

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
        splits = split_folds(windows, n_folds, settings.seed)
    else:
        splits = [split_recordings(windows, settings.val_fraction, settings.seed)]
    if settings.quick:
        splits = [reduce_split(windows, split, settings.seed) for split in splits]
    tasks = [Task(windows, noise, split, settings, fold) for fold, split in enumerate(splits, int(n_folds > 1))]
    n_background = min(len(task.background) for task in tasks)
    for transform in transforms_of(settings):
        transform.check_background(n_background)
    unjudged = [task for task in tasks if not len(task.validating)]
    if settings.threshold_precision is not None and len(unjudged) == len(tasks):
        setting = f"train.threshold_precision = {settings.threshold_precision:g}"
        raise SettingsError(setting, "no window validates", "set train.val_fraction above 0, or add recordings")
    if unjudged:
        _check_needs(settings, unjudged[0].fold)
    fault, remedy = "no window validates its model", "add recordings, or lower train.num_folds"
    problems += [Problem(f"fold {task.fold}", fault, remedy, lost=False) for task in unjudged if n_folds > 1]
    return tasks, problems


def _check_needs(settings: TrainSettings, fold: int) -> None:
    """Raise SettingsError if a setting compares epochs by validation, which this fold (0: the only model) lacks."""
    comparing = {"keep": settings.keep == "best", "stop_after": bool(settings.stop_after)}
    for key, is_set in (comparing | {"schedule": settings.schedule == "plateau"}).items():
        if is_set:
            fault = f"no window validates the model of fold {fold}" if fold else "no window validates"
            remedy = "lower train.num_folds" if fold else "set train.val_fraction above 0"
            raise SettingsError(f"train.{key} = {getattr(settings, key)!r}", fault, f"{remedy}, or add recordings")


def _check_classes(windows: StoredWindows, settings: TrainSettings) -> list[Problem]:
    """Problems of single classes. Raises EarshotError if there is nothing to learn."""
    names = windows.classes["name"]
    if len(names) < 2 and not settings.multi_label:
        raise EarshotError("train.multi_label = False", "needs two classes or more", "set it to true or add a class")
    if not windows.labels.any():
        raise EarshotError("", "no window has a class", "check the annotations and extract.min_seconds")
    if LOSSES[settings.loss].has_families and windows.classes["category"].nunique() < 2:
        fault, remedy = "all classes are of one category", "give them several in classes.csv, or choose another loss"
        raise SettingsError(f"train.loss = {settings.loss!r}", fault, remedy)
    n_several = np.count_nonzero(windows.labels.sum(axis=1) > 1)
    if not settings.multi_label and n_several:
        fault = f"{counted(int(n_several), 'window')} with more than one class"
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

    Every fold gets the same number of recordings, and of recordings of each class, see lib.core.stratification. The
    last recording with some class trains in every fold. Raises SettingsError if there are fewer recordings than folds.
    """
    has = _classes_of_recordings(windows)
    if len(has) < n:
        fault = f"there are only {counted(len(has), 'recording')}"
        raise SettingsError(f"train.num_folds = {n}", fault, "set at most that many")
    counts = np.column_stack([has, np.ones(len(has))])
    fold = stratify(counts, np.tile(counts.sum(axis=0) / n, (n, 1)), np.random.default_rng(seed))
    return [_split(windows, _held_out(has, np.flatnonzero(fold == i), len(has))) for i in range(n)]


def reduce_split(windows: StoredWindows, split: Split, seed: int) -> Split:
    """A few windows of each part of a split, drawn by seed: QUICK_WINDOWS of each class that it has, and of background.

    A window of several classes counts for each of them, so that some may get more.
    """
    parts = []
    for part in split:
        # Background is the last column; each window is taken if it is among the first of one of its classes.
        labels = windows.labels[part]
        labels = np.column_stack([labels, ~labels.any(axis=1)])
        order = np.random.default_rng(seed).permutation(len(part))
        is_among_first = np.cumsum(labels[order], axis=0) <= QUICK_WINDOWS
        parts.append(np.sort(part[order[(labels[order] & is_among_first).any(axis=1)]]))
    return parts[0], parts[1]


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
