"""The training loop: epochs of augmented batches, each followed by a validation.

Everything random in an epoch follows from the seed and the epoch's number, and the state after each epoch is kept on
disk. An interrupted training therefore resumes from its last complete epoch and ends with the same weights as one that
was never interrupted.
"""

import copy
import logging
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from lib.audio.augment.augmentation import Augmentation
from lib.config.schema import TrainSettings
from lib.core.devices import choose_device
from lib.core.errors import EarshotError
from lib.core.progress import progress
from lib.models.losses import recognition_loss, weigh_classes
from lib.models.precision import use_bf16
from lib.models.recognizer import Recognizer
from lib.training.batches import load_batches
from lib.training.learning_rate_schedule import learning_rate
from lib.training.optimizer import make_optimizer
from lib.training.training_state import keep_state, read_state
from lib.training.training_tasks import Task
from lib.training.transfer import frozen_parts, start_model
from lib.training.validation import TrainingFigures, validation_figures, window_logits
from lib.training.weight_averaging import Weights, average_weights, copy_weights, renew_statistics


class Learner:
    """A model on its device, with what a step of training needs."""

    def __init__(self, task: Task) -> None:
        settings = task.settings
        self.task, self.fabric = task, _fabric(settings)
        torch.manual_seed(settings.seed)
        model = start_model(task.describe(settings.epochs), settings)
        self.frozen = frozen_parts(model, settings)
        for part in self.frozen:
            part.requires_grad_(False)
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model: Any
        self.model, self.optimizer = self.fabric.setup(model, make_optimizer(model, settings))
        self._augment = Augmentation(settings, task.windows.audio)
        counts = torch.from_numpy(task.windows.labels[task.training].sum(axis=0))
        weights = weigh_classes(counts, settings.class_weight_exponent)
        self._loss_options = {
            "pos_smoothing": settings.pos_label_smoothing,
            "neg_smoothing": settings.neg_label_smoothing,
            "class_weights": None if weights is None else self.fabric.to_device(weights),
        }

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The augmented batches of an epoch, from 0; puts the model into training mode."""
        task, order = self.task, self.task.order(epoch)
        torch.manual_seed(task.settings.seed * 1_000_003 + epoch)
        backgrounds = _background_batches(task, order, epoch)
        self.train_mode()
        for batch, (x, y) in zip(order, load_batches(task.windows, order, task.settings.workers), strict=True):
            alone = torch.from_numpy(task.noise[batch]) if task.settings.noise_class else None
            x, y, background, alone = self.fabric.to_device((x, y, next(backgrounds), alone))
            yield self._augment(_scaled(x), y.float(), None if background is None else _scaled(background), alone)

    def train_mode(self) -> None:
        self.model.train()
        for part in self.frozen:
            part.eval()

    def step(self, x: Tensor, y: Tensor, rate: float) -> Tensor:
        """Learn from a batch at that learning rate; returns the loss."""
        settings = self.task.settings
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        logits, frame_logits = self.model(x, frames=True)
        frame_logits = None if frame_logits is None else frame_logits.float()
        loss = recognition_loss(
            logits.float(), frame_logits, y, settings.multi_label, settings.frame_loss_weight, **self._loss_options
        )
        self.optimizer.zero_grad()
        self.fabric.backward(loss)
        self.optimizer.step()
        return loss.detach()

    def logits(self, epoch: int, loss: float = 0.0) -> Tensor | None:
        """Logits of the validation windows (n, n_classes), None if there are none.

        Raises EarshotError if they or the loss are not finite; without validation, a batch of training windows tells.
        """
        task = self.task
        indices = task.validating if len(task.validating) else task.training[: task.settings.batch_size]
        logits = window_logits(self.fabric, self.model, task.windows, indices, task.settings)
        if not math.isfinite(loss) or not logits.isfinite().all():
            what = "scores are no numbers" if math.isfinite(loss) else f"loss is {loss}"
            raise EarshotError("", f"training diverged in epoch {epoch} ({what})", "lower train.learning_rate")
        return logits if len(task.validating) else None

    def averaged(self, weights: list[Weights], epoch: int) -> Recognizer:
        """A copy of the model, on the CPU, with the mean of weights; its statistics are of the batches of an epoch."""
        self.model.module.load_state_dict(average_weights(weights))
        if len(weights) > 1:
            self.train_mode()
            renew_statistics(self.model, (x for x, _ in self.batches(epoch)))
        return copy.deepcopy(self.model.module).eval().cpu()  # many of them would fill a GPU


class Trained(NamedTuple):
    """A trained model, on the CPU, after `epoch` epochs."""

    model: Recognizer
    epoch: int
    logits: Tensor | None  # of the validation windows, (n, n_classes); None without any


def fit(
    task: Task, state_file: Path, fingerprint: str, on_epoch: Callable[[int, TrainingFigures], None]
) -> tuple[list[Trained], list[TrainingFigures]]:
    """Train a model; returns those of the last settings.save_last_n epochs, and the figures of all epochs.

    For the other arguments and errors see lib.training.trainer.train_models.
    """
    settings = task.settings
    learner = Learner(task)
    state = read_state(state_file, fingerprint)
    rows: list[TrainingFigures] = state.get("epochs", [])
    weights: dict[int, Weights] = state.get("weights", {})  # by epoch, of those that are needed at the end
    if state:
        learner.model.load_state_dict(state["model"])
        learner.optimizer.load_state_dict(state["optimizer"])
    del state
    n_before = max(task.fold - 1, 0) * settings.epochs
    for row in rows:
        on_epoch(n_before + int(row["epoch"]), row)

    n_batches = len(task.order(0))
    n_steps, n_done = settings.epochs * n_batches, len(rows) * n_batches
    what = f"train, fold {task.fold} of {settings.num_folds}" if task.fold else "train"
    steps = progress(range(n_done, n_steps), what, n_steps, "batches", n_done)
    for epoch in range(len(rows) + 1, settings.epochs + 1):
        losses = []
        for x, y in learner.batches(epoch - 1):
            rate = learning_rate(next(steps), n_steps, settings.learning_rate)
            losses.append(learner.step(x, y, rate))
        row = {"fold": task.fold} if task.fold else {}
        row |= {"epoch": epoch, "train_loss": float(torch.stack(losses).mean())}
        logits = learner.logits(epoch, row["train_loss"])
        if logits is not None:
            row |= validation_figures(logits, task.truth, settings.multi_label)
        rows.append({key: round(value, 6) for key, value in (row | {"learning_rate": rate}).items()})
        if epoch > settings.epochs - settings.save_last_n - settings.average_last_n + 1:
            weights[epoch] = copy_weights(learner.model.module)
        state = {"fingerprint": fingerprint, "epochs": rows, "weights": weights}
        state |= {"model": learner.model.state_dict(), "optimizer": learner.optimizer.state_dict()}
        keep_state(state_file, state)
        on_epoch(n_before + epoch, rows[-1])
    steps.close()
    saved_epochs = range(max(1, settings.epochs - settings.save_last_n + 1), settings.epochs + 1)
    return [_finish(learner, weights, epoch) for epoch in saved_epochs], rows


def _finish(learner: Learner, weights: dict[int, Weights], epoch: int) -> Trained:
    """The model of an epoch: the mean of the weights of settings.average_last_n epochs up to it."""
    first = epoch - learner.task.settings.average_last_n + 1
    model = learner.averaged([weights[i] for i in sorted(weights) if first <= i <= epoch], epoch)
    model.description = learner.task.describe(epoch)
    return Trained(model, epoch, learner.logits(epoch))


def _fabric(settings: TrainSettings) -> Fabric:
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    device = choose_device(settings.device)
    bf16 = use_bf16(settings.precision, device)
    return Fabric(accelerator=device.type, devices=1, precision="bf16-mixed" if bf16 else "32-true")


def _scaled(spectrograms: Tensor) -> Tensor:
    return spectrograms.float() / 255


def _background_batches(task: Task, order: list[np.ndarray], epoch: int) -> Iterator[Tensor | None]:
    """As many random background spectrograms as each batch has windows; None where there are none."""
    rng = np.random.default_rng([task.settings.seed, epoch, 1])
    for batch in order:
        if task.settings.background_mix and len(task.background):
            yield torch.from_numpy(task.windows.spectrograms(rng.choice(task.background, len(batch))))
        else:
            yield None
