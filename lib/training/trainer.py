"""Training as the settings say: one model, or one for each fold of a cross-validation."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from lib.config.load import get_config
from lib.config.schema import Settings, TrainSettings
from lib.core.console import show_problems
from lib.core.devices import reproducible
from lib.core.errors import EarshotError, Problem
from lib.core.locks import sole_writer
from lib.models.checkpoints import save_checkpoint
from lib.models.class_thresholds import choose_thresholds
from lib.models.description import Calibration, Description
from lib.models.model_files import remove_other_models
from lib.models.recognizer import Recognizer
from lib.training.epoch_choice import is_over
from lib.training.training_loop import Trained, fit
from lib.training.training_state import (
    keep_state,
    read_state,
    remove_state,
    state_file,
    state_of_fold,
    training_fingerprint,
)
from lib.training.training_tasks import Task, make_tasks
from lib.training.validation import TrainingFigures, over_folds, scores_of, validation_figures
from lib.training_data.stored_windows import StoredWindows

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class TrainingOutcome(NamedTuple):
    """Models with the suffixes of their file names ("" for the only one, "-e21" for an earlier epoch's, "-f2" for a
    fold's), figures of each epoch and of the whole training, problems of single classes and folds, and whether training
    was not stopped."""

    models: dict[str, Recognizer]
    epochs: list[TrainingFigures]
    metrics: TrainingFigures
    problems: list[Problem]
    is_complete: bool = True

    @property
    def model(self) -> Recognizer:
        """The last of the models."""
        return list(self.models.values())[-1]

    @property
    def description(self) -> Description:
        return self.model.description


class TrainerResult(NamedTuple):
    """What a Trainer made.

    Args:
        paths: of the checkpoints.
        epochs: a row for each epoch and its figures, such as val_macro_pr, as in metrics/train.csv.
        metrics: figures of the last epoch with the weights that are kept, or of all folds together, as in
            metrics/train.json.
        models: the recognizers, on the CPU, in the order of paths.
        problems: of single classes and folds.
    """

    paths: list[Path]
    epochs: pd.DataFrame
    metrics: TrainingFigures
    models: list[Recognizer]
    problems: list[Problem]


class Trainer:
    """Training from settings and a training database to checkpoints.

    Args:
        prefix: of the names of the checkpoints, `<prefix>-model.pt` instead of `model.pt`.
        cfg: settings, of which `train` is used; None: those of params.yaml.
        database: SQLite file that the extract stage wrote.
        output: folder for the checkpoints.
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

    def run(self) -> TrainerResult:
        """Train, write the checkpoints and print problems of the data.

        An interrupted run resumes: its state is kept beside the output folder. Earlier checkpoints of the same prefix
        are replaced. Raises EarshotError if the data cannot train a model, or the training diverges.
        """
        result = self.train()
        show_problems(result.problems)
        return result

    def train(self) -> TrainerResult:
        """As run, but prints nothing."""
        state = state_file(self.path)
        with sole_writer(self.path):
            windows = StoredWindows(self.database, self.settings.spec_group)
            outcome = train_models(windows, self.settings, state, training_fingerprint(self.database, self.settings))
            paths = save_models(self.path, outcome)
            remove_state(state)
        models = list(outcome.models.values())
        return TrainerResult(paths, pd.DataFrame(outcome.epochs), outcome.metrics, models, outcome.problems)

    def find_lr(self, num_batches: int = 100) -> "tuple[float, Figure]":
        """A learning rate to train with, and a plot of the loss over the rates that were tried.

        num_batches: how many are tried, each on a batch. Nothing is written. Raises EarshotError as run does.
        """
        from lib.training.learning_rate_finder import find_learning_rate, plot_range

        windows = StoredWindows(self.database, self.settings.spec_group)
        tested = find_learning_rate(windows, self.settings, num_batches)
        return tested.suggestion, plot_range(tested)


def train_models(
    windows: StoredWindows,
    settings: TrainSettings,
    state_file: str | Path,
    fingerprint: str,
    on_epoch: Callable[[int, TrainingFigures], None] = lambda step, row: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> TrainingOutcome:
    """Train recognizers on the windows of a training database.

    A training that is stopped gives the model of its best complete epoch (by settings.metric, else of the last one), in
    a cross-validation also those of the folds before. Its state is kept, so that another call resumes it.

    Args:
        windows: what to train with.
        settings: how to train.
        state_file: where the state after each epoch is kept, of folds beside it; training resumes from a state with the
            same fingerprint.
        fingerprint: digest of all that the result depends on, see training_fingerprint.
        on_epoch: called with the number of each epoch, counted over all folds, and its figures, including epochs that
            an interrupted run completed.
        is_stopped: asked before each batch whether to stop.

    Raises EarshotError if the data cannot train a model, the training diverges, or it is stopped before an epoch is
    complete.
    """
    with reproducible(settings.threads, settings.device):
        return _train_models(windows, settings, state_file, fingerprint, on_epoch, is_stopped)


def _train_models(
    windows: StoredWindows,
    settings: TrainSettings,
    state_file: str | Path,
    fingerprint: str,
    on_epoch: Callable[[int, TrainingFigures], None],
    is_stopped: Callable[[], bool],
) -> TrainingOutcome:
    if settings.learning_rate == "auto":
        rate = _found_rate(windows, settings, Path(state_file), fingerprint, is_stopped)
        settings = settings.model_copy(update={"learning_rate": rate})
    tasks, problems = make_tasks(windows, settings)
    models: dict[str, Recognizer] = {}
    rows: list[TrainingFigures] = []
    trained: list[list[Trained]] = []
    is_complete = True
    for task in tasks:
        of_task, epochs = fit(task, state_of_fold(state_file, task.fold), fingerprint, on_epoch, is_stopped)
        rows += epochs
        trained += [of_task] if of_task else []
        models |= {_suffix(task, one, one is of_task[-1]): one.model for one in of_task}
        if not is_over(epochs, settings):
            is_complete = False
            break
    if not trained:
        raise EarshotError("", "training was stopped before an epoch was complete", "there is no model; train again")
    for model in [] if is_complete else models.values():
        training = model.description.training | {"interrupted": True}
        model.description = model.description.model_copy(update={"training": training})
    tasks = tasks[: len(trained)]
    if settings.threshold_precision is not None and any(len(task.validating) for task in tasks):
        problems += _set_thresholds(models, tasks, trained, settings.threshold_precision)
    return TrainingOutcome(models, rows, _metrics(tasks, trained, rows), problems, is_complete)


def _found_rate(
    windows: StoredWindows, settings: TrainSettings, state_file: Path, fingerprint: str, is_stopped: Callable[[], bool]
) -> float:
    """What find_lr suggests; the state keeps it, so that a training that resumes need not search again."""
    state = read_state(state_file, fingerprint)
    if not state:
        from lib.training.learning_rate_finder import find_learning_rate

        suggestion = find_learning_rate(windows, settings, is_stopped=is_stopped).suggestion
        state = {"fingerprint": fingerprint, "learning_rate": float(f"{suggestion:.3g}")}
        keep_state(state_file, state)
    return state["learning_rate"]


def save_models(path: str | Path, outcome: TrainingOutcome) -> list[Path]:
    """Write the models beside or as `path`, in place of those of an earlier training; returns their paths."""
    path = Path(path)
    written = []
    for suffix, model in outcome.models.items():
        written.append(path.with_name(f"{path.stem}{suffix}{path.suffix}"))
        save_checkpoint(written[-1], model, model.description)
    remove_other_models(path, written)
    return written


def epoch_line(row: TrainingFigures) -> str:
    """An epoch's figures as a line of text."""
    shown = {"loss": "train_loss", "validation loss": "val_loss", "macro PR-AUC": "val_macro_pr"}
    where = f"fold {row['fold']:.0f}, epoch" if "fold" in row else "epoch"
    figures = ", ".join(f"{label} {row[key]:.3f}" for label, key in shown.items() if key in row)
    return f"{where} {row['epoch']:.0f}: {figures}"


def _suffix(task: Task, one: Trained, is_last: bool) -> str:
    fold = f"-f{task.fold}" if task.fold else ""
    return fold if is_last else f"{fold}-e{one.epoch}"


def _metrics(tasks: list[Task], trained: list[list[Trained]], rows: list[TrainingFigures]) -> TrainingFigures:
    """Of a single training: its last epoch that is kept, with the weights that are; of folds: their validation."""
    kept = [
        validation_figures(models[-1].logits, task.truth, task.settings.multi_label, task.settings.metric)
        if models[-1].logits is not None
        else {}
        for task, models in zip(tasks, trained, strict=True)
    ]
    if tasks[0].fold:
        return {"folds": len(tasks)} | over_folds(kept)
    last = rows[trained[0][-1].epoch - 1]
    return last | {key: round(value, 6) for key, value in kept[0].items()} | {"windows": len(tasks[0].training)}


def _set_thresholds(
    models: dict[str, Recognizer], tasks: list[Task], trained: list[list[Trained]], precision: float
) -> list[Problem]:
    """Give the models class thresholds from all validation windows; returns a Problem for each class without one.

    Each fold's windows are scored by the mean of its models, which did not learn from them.
    """
    scores = [
        np.mean([scores_of(one.logits, task.settings.multi_label) for one in of_task if one.logits is not None], axis=0)
        for task, of_task in zip(tasks, trained, strict=True)
        if len(task.validating)
    ]
    truth = [task.truth for task in tasks if len(task.validating)]
    thresholds = choose_thresholds(np.concatenate(truth), np.concatenate(scores), precision)
    names = tasks[0].windows.classes["name"]
    reached = {name: float(value) for name, value in zip(names, thresholds, strict=True) if value == value}
    for model in models.values():
        model.description = model.description.model_copy(update={"calibration": Calibration(thresholds=reached)})
    fault = f"no score of it has a precision of {precision:g} on the validation windows"
    remedy = "infer.min_score holds for it; add recordings of it"
    return [Problem(name, fault, remedy, lost=False) for name in names if name not in reached]
