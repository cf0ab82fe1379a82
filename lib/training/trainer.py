"""Training as the settings say: one model, or one for each fold of a cross-validation."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lib.config import Settings, Train, get_config
from lib.console import show_problems
from lib.database.stored_windows import StoredWindows
from lib.errors import EarshotError, Problem, SettingsError
from lib.models.calibration import choose_thresholds
from lib.models.checkpoint import save_checkpoint
from lib.models.description import Calibration, Description, description_file
from lib.models.recognizer import Recognizer
from lib.training.batches import set_noise_apart, split_folds, split_recordings
from lib.training.loop import Task, Trained, fit
from lib.training.state import remove_state, state_of_fold, training_fingerprint
from lib.training.validation import Row, figures, over_folds, scores_of


@dataclass(frozen=True)
class Outcome:
    """Trained models by what is added to the name of their file ("" for the only one, "-e21" for an earlier epoch's,
    "-f2" for a fold's), a row of figures for each epoch, the figures of the whole, and what is odd about the data.
    """

    models: dict[str, Recognizer]
    epochs: list[Row]
    metrics: Row
    problems: list[Problem]

    @property
    def model(self) -> Recognizer:
        """The last of the models."""
        return list(self.models.values())[-1]

    @property
    def description(self) -> Description:
        return self.model.description


class Trainer:
    """Training from settings and a training database to checkpoints.

    prefix: what the names of the checkpoints begin with, `<prefix>-model.pt` instead of `model.pt`. cfg: whose `train`
    is used; None: that of params.yaml. database: SQLite file that the extract stage wrote. output: folder for the
    checkpoints.
    """

    def __init__(
        self,
        prefix: str | None = None,
        cfg: Settings | None = None,
        database: str | Path = "data/training.db",
        output: str | Path = "data/models",
    ) -> None:
        self.settings = (cfg or get_config()).train.checked()
        self.database = Path(database)
        self.path = Path(output) / (f"{prefix}-model.pt" if prefix else "model.pt")

    def run(self) -> list[Path]:
        """Train, and write the checkpoints; returns their paths, and shows what is odd about the data.

        A run that was killed is taken up again: its state is kept beside the output folder. Earlier checkpoints of the
        same prefix are replaced. Raises EarshotError if the data cannot train a model, or the training diverges.
        """
        paths, problems = self.train()
        show_problems(problems)
        return paths

    def train(self) -> tuple[list[Path], list[Problem]]:
        """What run does, but for showing: returns what is odd about the data, too."""
        folder = self.path.parent.resolve()
        state = folder.with_name(f".{folder.name}-{self.path.stem}-state")
        windows = StoredWindows(self.database, self.settings.spec_group)
        outcome = train(windows, self.settings, state, training_fingerprint(self.database, self.settings))
        paths = save_models(self.path, outcome)
        remove_state(state)
        return paths, outcome.problems

    def find_lr(self, num_batches: int = 100):
        """A learning rate to train with, and a matplotlib Figure of the loss over the rates that were tried.

        num_batches: how many are tried, each on a batch. Nothing is written. Raises EarshotError as run does.
        """
        from lib.training.lr_finder import find_learning_rate, plot_range

        found = find_learning_rate(StoredWindows(self.database, self.settings.spec_group), self.settings, num_batches)
        return found.suggestion, plot_range(found)


def train(
    windows: StoredWindows,
    settings: Train,
    state_file: str | Path,
    fingerprint: str,
    on_epoch: Callable[[int, Row], None] = lambda step, row: None,
) -> Outcome:
    """Train recognizers on the windows of a training database.

    state_file: where the state after each epoch is kept; with several folds each has a file of its own beside it. A
    state with the same fingerprint (see training_fingerprint) is taken up again. on_epoch: called with the number of
    each epoch, counted over all folds, and its figures, also of epochs that an earlier, killed run had finished.
    Raises EarshotError if the data cannot train a model.
    """
    tasks, problems = make_tasks(windows, settings)
    models: dict[str, Recognizer] = {}
    rows: list[Row] = []
    trained: list[list[Trained]] = []
    for task in tasks:
        done = len(rows)

        def report(row: Row, done: int = done) -> None:
            on_epoch(done + int(row["epoch"]), row)

        found, epochs = fit(task, state_of_fold(state_file, task.fold), fingerprint, report)
        rows += epochs
        trained.append(found)
        models |= {_suffix(task, one.epoch): one.model for one in found}
    if settings.threshold_precision is not None:
        problems += _set_thresholds(models, tasks, trained, settings.threshold_precision)
    return Outcome(models, rows, _metrics(tasks, trained, rows), problems)


def make_tasks(windows: StoredWindows, settings: Train) -> tuple[list[Task], list[Problem]]:
    """What each fold, or the only training, is to learn, and what is odd about single classes and folds.

    Raises EarshotError if the data cannot train a model.
    """
    windows, noise = set_noise_apart(windows, settings.noise_class)
    problems = _check(windows, settings)
    if settings.num_folds > 1:
        splits = split_folds(windows, settings.num_folds, settings.seed)
        tasks = [Task(windows, noise, split, settings, fold) for fold, split in enumerate(splits, 1)]
    else:
        tasks = [Task(windows, noise, split_recordings(windows, settings.val_fraction, settings.seed), settings)]
    unjudged = [task for task in tasks if not len(task.validating)]
    if settings.threshold_precision is not None and len(unjudged) == len(tasks):
        fault = "no window validates; set train.val_fraction above 0, or add recordings"
        raise SettingsError(f"train.threshold_precision = {settings.threshold_precision:g}: {fault}")
    if settings.num_folds > 1:
        reason, action = "no window validates its model", "add recordings, or lower train.num_folds"
        problems += [Problem(f"fold {task.fold}", reason, action, lost=False) for task in unjudged]
    return tasks, problems


def save_models(path: str | Path, outcome: Outcome) -> list[Path]:
    """Write the models beside or as `path`, in place of those of an earlier training; returns their paths."""
    path = Path(path)
    written = []
    for suffix, model in outcome.models.items():
        written.append(path.with_name(f"{path.stem}{suffix}{path.suffix}"))
        save_checkpoint(written[-1], model, model.description)
    ours = re.compile(re.escape(path.stem) + r"(-f\d+)?(-e\d+)?" + re.escape(path.suffix))
    for file in path.parent.iterdir():
        if ours.fullmatch(file.name) and file not in written:
            file.unlink()
            description_file(file).unlink(missing_ok=True)
    return written


def describe(row: Row) -> str:
    """An epoch's figures as a line of text."""
    shown = {"loss": "train_loss", "validation loss": "val_loss", "macro PR-AUC": "val_macro_pr_auc"}
    where = f"fold {row['fold']:.0f}, epoch" if "fold" in row else "epoch"
    figures = ", ".join(f"{label} {row[key]:.3f}" for label, key in shown.items() if key in row)
    return f"{where} {row['epoch']:.0f}: {figures}"


def _suffix(task: Task, epoch: int) -> str:
    fold = f"-f{task.fold}" if task.fold else ""
    return fold if epoch == task.settings.epochs else f"{fold}-e{epoch}"


def _metrics(tasks: list[Task], trained: list[list[Trained]], rows: list[Row]) -> Row:
    """Of a single training: its last epoch, validated with the weights that are kept; of several: their validation."""
    kept = [
        figures(found[-1].logits, task.truth, task.settings.multi_label) if found[-1].logits is not None else {}
        for task, found in zip(tasks, trained, strict=True)
    ]
    if len(tasks) > 1:
        return {"folds": len(tasks)} | over_folds(kept)
    return rows[-1] | {key: round(value, 6) for key, value in kept[0].items()} | {"windows": len(tasks[0].training)}


def _set_thresholds(
    models: dict[str, Recognizer], tasks: list[Task], trained: list[list[Trained]], precision: float
) -> list[Problem]:
    """Give the models thresholds of classes from all windows that validated; a Problem for each class that has none.

    Each fold's windows are scored by the mean of its models, which did not learn from them.
    """
    scores = [
        np.mean([scores_of(one.logits, task.settings.multi_label) for one in found if one.logits is not None], axis=0)
        for task, found in zip(tasks, trained, strict=True)
        if len(task.validating)
    ]
    truth = [task.truth for task in tasks if len(task.validating)]
    thresholds = choose_thresholds(np.concatenate(truth), np.concatenate(scores), precision)
    names = tasks[0].windows.classes["name"]
    reached = {name: float(value) for name, value in zip(names, thresholds, strict=True) if value == value}
    for model in models.values():
        model.description = model.description.model_copy(update={"calibration": Calibration(thresholds=reached)})
    reason = f"no score of it has a precision of {precision:g} on the validation windows"
    action = "infer.min_score holds for it; add recordings of it"
    return [Problem(name, reason, action, lost=False) for name in names if name not in reached]


def _check(windows: StoredWindows, settings: Train) -> list[Problem]:
    """Problems of single classes; raises EarshotError if there is nothing to learn."""
    names = windows.classes["name"]
    if len(names) < 2 and not settings.multi_label:
        raise EarshotError("train.multi_label = False: needs two classes or more; set it to true or add a class")
    if not windows.labels.any():
        raise EarshotError("no window has a class; check the annotations and extract.min_seconds")
    several = windows.labels.sum(axis=1) > 1
    if not settings.multi_label and several.any():
        raise EarshotError(
            f"train.multi_label = False: {several.sum()} windows have more than one class; set it to true"
        )
    problems = []
    for name, labels in zip(names, windows.labels.T, strict=True):
        n = len(np.unique(windows.recording[labels]))
        if n == 0:
            problems.append(Problem(name, "no window has this class", "annotate it, or remove it from classes.csv"))
        elif n == 1:
            action = "add recordings of it; its accuracy is not known"
            problems.append(Problem(name, "only one recording has this class", action, lost=False))
    return problems
