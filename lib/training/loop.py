"""Training one model: AdamW, a learning rate that rises and then falls as a cosine, augmentation, a validation after
each epoch.

Everything random in an epoch follows from the seed and the epoch's number, and the state after each epoch is kept on
disk, so a run that was killed goes on from its last whole epoch and ends where an undisturbed run would.
"""

import copy
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from lib.audio.augment import Augmentation
from lib.config import Train
from lib.console import progress
from lib.database.stored_windows import StoredWindows
from lib.errors import EarshotError
from lib.models.description import Description
from lib.models.device import choose_device, use_bf16
from lib.models.losses import recognition_loss, weigh_classes
from lib.models.recognizer import Recognizer
from lib.training.averaging import Weights, average_weights, copy_weights, renew_statistics
from lib.training.batches import Split, epoch_order, load_batches
from lib.training.state import keep_state, read_state, start_digest
from lib.training.transfer import frozen_parts, start_model
from lib.training.validation import Row, figures, window_logits

WARM_UP = 0.15
"""Share of the steps in which the learning rate rises."""


@dataclass(frozen=True)
class Task:
    """What is learnt from what. noise: bool (n_windows,), windows of the noise class alone; fold: from 1, or 0."""

    windows: StoredWindows
    noise: np.ndarray
    split: Split
    settings: Train
    fold: int = 0

    @cached_property
    def training(self) -> np.ndarray:
        """Indices of the windows to train with; with a single label a window, those without any have no use."""
        return self._usable(self.split[0])

    @cached_property
    def validating(self) -> np.ndarray:
        return self._usable(self.split[1])

    @cached_property
    def background(self) -> np.ndarray:
        """Indices of the windows without any class, to lay under others."""
        return self.split[0][~self.windows.labels[self.split[0]].any(axis=1)]

    @cached_property
    def truth(self) -> np.ndarray:
        """What the validating windows hold, bool (n, n_classes)."""
        return self.windows.labels[self.validating]

    def _usable(self, indices: np.ndarray) -> np.ndarray:
        return indices if self.settings.multi_label else indices[self.windows.labels[indices].any(axis=1)]

    @cached_property
    def start(self) -> str | None:
        """Digest of the checkpoint to start from."""
        return start_digest(self.settings)

    def order(self, epoch: int) -> list[np.ndarray]:
        """The batches of an epoch, from 0."""
        settings = self.settings
        return epoch_order(self.training, settings.epoch_windows, settings.batch_size, settings.seed, epoch)

    def describe(self, epochs: int) -> Description:
        """The model that comes of that many epochs."""
        settings = self.settings
        counts = {"windows": len(self.training), "validation_windows": len(self.validating), "epochs": epochs}
        origin = ({"fold": self.fold} if self.fold else {}) | ({"load_checkpoint": self.start} if self.start else {})
        return Description(
            classes=self.windows.classes.fillna("").to_dict("records"),
            audio=self.windows.audio,
            backbone=settings.backbone,
            head=settings.head,
            sed_fps=None if settings.head == "pool" else settings.sed_fps,
            dropout=settings.dropout,
            multi_label=settings.multi_label,
            training=counts | {"seed": settings.seed} | origin,
        )


class Learner:
    """A model on its device, with what is needed for a step of training."""

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
        self.model, self.optimizer = self.fabric.setup(model, _optimizer(model, settings))
        self._augment = Augmentation(settings, task.windows.audio)
        counts = torch.from_numpy(task.windows.labels[task.training].sum(axis=0))
        weights = weigh_classes(counts, settings.class_weight_exponent)
        self._loss_options = {
            "pos_smoothing": settings.pos_label_smoothing,
            "neg_smoothing": settings.neg_label_smoothing,
            "class_weights": None if weights is None else self.fabric.to_device(weights),
        }

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The augmented batches of an epoch, from 0; the model is in training mode."""
        task, order = self.task, self.task.order(epoch)
        torch.manual_seed(task.settings.seed * 1_000_003 + epoch)
        beds = _background(task, order, epoch)
        self.train_mode()
        for batch, (x, y) in zip(order, load_batches(task.windows, order, task.settings.workers), strict=True):
            alone = torch.from_numpy(task.noise[batch]) if task.settings.noise_class else None
            x, y, bed, alone = self.fabric.to_device((x, y, next(beds), alone))
            yield self._augment(_scaled(x), y.float(), None if bed is None else _scaled(bed), alone)

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
        """Of the validating windows (n, n_classes), if there are any.

        Raises EarshotError if these or the loss are no numbers; without validation a batch of the others tells.
        """
        task = self.task
        indices = task.validating if len(task.validating) else task.training[: task.settings.batch_size]
        logits = window_logits(self.fabric, self.model, task.windows, indices, task.settings)
        if not math.isfinite(loss) or not logits.isfinite().all():
            what = "scores are no numbers" if math.isfinite(loss) else f"loss is {loss}"
            raise EarshotError(f"training diverged in epoch {epoch} ({what}); lower train.learning_rate")
        return logits if len(task.validating) else None

    def averaged(self, weights: list[Weights], epoch: int) -> Recognizer:
        """A copy of the model with the mean of weights; its statistics are renewed on the batches of that epoch."""
        self.model.module.load_state_dict(average_weights(weights))
        if len(weights) > 1:
            self.train_mode()
            renew_statistics(self.model, (x for x, _ in self.batches(epoch)))
        return copy.deepcopy(self.model.module).eval().cpu()  # many of them would fill a GPU


@dataclass(frozen=True)
class Trained:
    """A model that came of so many epochs, on the CPU, and its logits of the validating windows (n, n_classes)."""

    model: Recognizer
    epoch: int
    logits: Tensor | None


def fit(
    task: Task, state_file: Path, fingerprint: str, on_epoch: Callable[[Row], None]
) -> tuple[list[Trained], list[Row]]:
    """Train a model: those of the last epochs, as many as settings.save_last_n, and the figures of all epochs.

    state_file: where the state after each epoch is kept; one with that fingerprint is taken up again. on_epoch: called
    with each epoch's figures, also with those of epochs that an earlier, killed run had finished. Raises EarshotError
    if the training diverges.
    """
    settings = task.settings
    learner = Learner(task)
    state = read_state(state_file, fingerprint)
    rows: list[Row] = state.get("epochs", [])
    weights: dict[int, Weights] = state.get("weights", {})  # by epoch, of those that are needed at the end
    if state:
        learner.model.load_state_dict(state["model"])
        learner.optimizer.load_state_dict(state["optimizer"])
    del state
    for row in rows:
        on_epoch(row)

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
            row |= figures(logits, task.truth, settings.multi_label)
        rows.append({key: round(value, 6) for key, value in (row | {"learning_rate": rate}).items()})
        if epoch > settings.epochs - settings.save_last_n - settings.average_last_n + 1:
            weights[epoch] = copy_weights(learner.model.module)
        keep_state(state_file, _state(fingerprint, rows, learner, weights))
        on_epoch(rows[-1])
    steps.close()
    return [_finish(learner, weights, epoch) for epoch in _saved_epochs(settings)], rows


def learning_rate(step: int, n_steps: int, peak: float) -> float:
    """Learning rate of a step: linear up to the peak over the first WARM_UP of the steps, then a cosine down to 0."""
    rise = max(1, round(WARM_UP * n_steps))
    if step < rise:
        return peak * (step + 1) / rise
    return peak * (1 + math.cos(math.pi * (step - rise) / max(1, n_steps - rise))) / 2


def _state(fingerprint: str, rows: list[Row], learner: Learner, weights: dict[int, Weights]) -> dict[str, Any]:
    state = {"fingerprint": fingerprint, "epochs": rows, "weights": weights}
    return state | {"model": learner.model.state_dict(), "optimizer": learner.optimizer.state_dict()}


def _saved_epochs(settings: Train) -> range:
    return range(max(1, settings.epochs - settings.save_last_n + 1), settings.epochs + 1)


def _finish(learner: Learner, weights: dict[int, Weights], epoch: int) -> Trained:
    """The model of an epoch: the mean of the weights of settings.average_last_n epochs up to it."""
    first = epoch - learner.task.settings.average_last_n + 1
    model = learner.averaged([weights[i] for i in sorted(weights) if first <= i <= epoch], epoch)
    model.description = learner.task.describe(epoch)
    return Trained(model, epoch, learner.logits(epoch))


def _fabric(settings: Train) -> Fabric:
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    device = choose_device(settings.device)
    bf16 = use_bf16(settings.precision, device)
    return Fabric(accelerator=device.type, devices=1, precision="bf16-mixed" if bf16 else "32-true")


def _optimizer(model: nn.Module, settings: Train) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    weights = [parameter for parameter in parameters if parameter.ndim > 1]
    others = [parameter for parameter in parameters if parameter.ndim <= 1]
    groups = [{"params": weights, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=settings.learning_rate)


def _scaled(spectrograms: Tensor) -> Tensor:
    return spectrograms.float() / 255


def _background(task: Task, order: list[np.ndarray], epoch: int) -> Iterator[Tensor | None]:
    """Spectrograms without any class, as many as each batch has windows; None where there are none."""
    rng = np.random.default_rng([task.settings.seed, epoch, 1])
    for batch in order:
        if task.settings.background_mix and len(task.background):
            yield torch.from_numpy(task.windows.spectrograms(rng.choice(task.background, len(batch))))
        else:
            yield None
