"""Scores of training windows by models that did not learn from their recordings.

Either by the models of a cross-validation (train.num_folds), or by linear heads, which take seconds: these are fitted
several times to other folds, then again without the labels that confident learning holds for wrong (Northcutt, Jiang
and Chuang, Confident Learning: Estimating Uncertainty in Dataset Labels, 2021), and averaged.
"""

from pathlib import Path

import numpy as np

from lib.config.schema import Settings
from lib.core.errors import EarshotError
from lib.core.progress import progress
from lib.core.stratification import stratify
from lib.curation.linear_head import PENALTY, fit_head
from lib.models.description import read_description
from lib.models.model_files import model_files
from lib.training.training_tasks import Task, make_tasks
from lib.training_data.stored_windows import StoredWindows

HEAD_FOLDS = 5
REPEATS = 3
"""Times that the recordings are split anew; the mean of all is less a matter of chance."""
BATCH = 256


def head_scores(
    features: np.ndarray,
    labels: np.ndarray,
    recording: np.ndarray,
    multi_label: bool,
    seed: int,
    repeats: int = REPEATS,
    penalty: float = PENALTY,
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of windows by linear heads fitted to other recordings.

    Each fold gets its part of the recordings of each class, see lib.core.stratification.

    Args:
        features: float32 (n, dim).
        labels: bool (n, n_classes), as annotated; unless multi_label, one in each row.
        recording: int (n,), which recording a window is of.
        multi_label: whether several classes may sound in a window.
        seed: of the folds.
        repeats: see REPEATS.
        penalty: of the heads.

    Returns the scores, float32 (n, n_classes), 0..1, and of which classes all heads learned from a recording, bool
    (n_classes,): the scores of others say nothing. Raises EarshotError if there are fewer than two recordings.
    """
    _, recording = np.unique(recording, return_inverse=True)
    n_recordings = int(recording.max()) + 1
    if n_recordings < 2:
        raise EarshotError("the training database", "holds one recording", "add others to compare it with")
    n_folds = min(HEAD_FOLDS, n_recordings)
    rng = np.random.default_rng(seed)
    has = _classes_of_recordings(labels, recording)
    counts = np.column_stack([has, np.ones(n_recordings)])
    wanted = np.tile(counts.sum(axis=0) / n_folds, (n_folds, 1))
    folds = [stratify(counts, wanted, rng)[recording] for _ in range(repeats)]
    is_learned = np.all([recordings_of_classes(labels, fold) >= 2 for fold in folds], axis=0)
    fits = iter(progress(range(2 * repeats * n_folds), "fit heads", 2 * repeats * n_folds, "heads"))

    def mean_scores(trusted: np.ndarray) -> np.ndarray:
        scores = np.zeros(labels.shape, np.float32)
        for fold in folds:
            for held_out in (fold == number for number in range(n_folds)):
                next(fits, None)
                head = fit_head(features[~held_out], labels[~held_out], multi_label, trusted[~held_out], penalty)
                scores[held_out] += head.scores(features[held_out]) / repeats
        return scores

    first = mean_scores(np.ones(labels.shape, bool))
    second = mean_scores(~suspected_labels(labels, first, multi_label))
    for _ in fits:
        pass
    return (first + second) / 2, is_learned


def recordings_of_classes(labels: np.ndarray, recording: np.ndarray) -> np.ndarray:
    """How many recordings have each class, int (n_classes,). labels: bool (n, n_classes). recording: int (n,)."""
    return _classes_of_recordings(labels, recording).sum(axis=0)


def _classes_of_recordings(labels: np.ndarray, recording: np.ndarray) -> np.ndarray:
    has = np.zeros((int(recording.max(initial=-1)) + 1, labels.shape[1]), bool)
    np.logical_or.at(has, recording, labels)
    return has


def suspected_labels(labels: np.ndarray, scores: np.ndarray, multi_label: bool) -> np.ndarray:
    """Which labels confident learning holds for wrong, bool (n, n_classes); unless multi_label, rows as a whole.

    labels: bool (n, n_classes). scores: of models that did not learn from them, (n, n_classes).
    """
    from cleanlab.filter import find_label_issues

    if not multi_label:
        return np.repeat(find_label_issues(labels.argmax(axis=1), scores, n_jobs=1)[:, None], labels.shape[1], axis=1)
    wrong = np.zeros(labels.shape, bool)
    for column in np.flatnonzero(labels.any(axis=0) & ~labels.all(axis=0)):
        of_class = scores[:, column].astype(float)
        wrong[:, column] = find_label_issues(
            labels[:, column].astype(int), np.column_stack([1 - of_class, of_class]), n_jobs=1
        )
    return wrong


def fold_model_scores(windows: StoredWindows, folder: str | Path, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """Scores of windows by the models of cross-validations, each window by those that did not learn from its recording.

    Args:
        windows: of the training database that they were trained with, without the noise class.
        folder: that train wrote with num_folds, or one of several such folders, whose scores are averaged.
        settings: of the training, as far as it says which windows train.

    Returns the scores, float32 (n, n_classes), 0..1, and which windows have any, bool (n,). Raises EarshotError if
    there are no such models, or they were trained with other windows.
    """
    from lib.inference.predictor import Predictor

    folders = sorted({file.parent for file in Path(folder).rglob("*.pt")})
    if not folders:
        raise EarshotError(folder, "holds no model (*.pt)", "train with --num_folds 5 --model FOLDER/model.pt")
    totals = np.zeros(windows.labels.shape, np.float32)
    counts = np.zeros(len(windows), np.float32)
    jobs = [job for each in folders for job in _held_out(windows, each, settings)]
    for file, task in progress(jobs, "score", len(jobs), "models"):
        predictor = Predictor(file, settings.infer.device, settings)
        if predictor.class_names != list(windows.classes["name"]):
            raise EarshotError(file, "has other classes than the training database", "train again")
        of_sound = predictor.description.takes == "waveforms"
        for batch in np.array_split(task.validating, -(-len(task.validating) // BATCH)):
            inputs = windows.sounds(batch) if of_sound else windows.spectrograms(batch) / np.float32(255)
            totals[batch] += predictor.score_windows(inputs)[0]
        counts[task.validating] += 1
    return totals / np.maximum(counts, 1)[:, None], counts > 0


def _held_out(windows: StoredWindows, folder: Path, settings: Settings) -> list[tuple[Path, Task]]:
    """Each checkpoint in a folder, with the task of its fold."""
    files = model_files(folder)
    described = [read_description(file) for file in files]
    folds = [int(one.training.get("fold", 0)) for one in described]
    if not all(folds):
        fault, remedy = "holds models of no cross-validation", "train with --num_folds 5 --model FOLDER/model.pt"
        raise EarshotError(folder, fault, remedy)
    changes = {"num_folds": max(folds), "noise_class": None}
    changes |= {"seed": described[0].training["seed"], "multi_label": described[0].multi_label}
    train = settings.train.model_copy(update=changes)
    tasks = {task.fold: task for task in make_tasks(windows, train)[0]}
    pairs = []
    for file, fold, one in zip(files, folds, described, strict=True):
        if fold not in tasks or one.training.get("held_out") != tasks[fold].held_out:
            fault = "was not trained with this training database, or with other settings of the folds"
            raise EarshotError(file, fault, f"train again with --num_folds {len(tasks)}")
        pairs.append((file, tasks[fold]))
    return pairs
