"""The training loop: epochs of augmented batches, each followed by a validation.

Everything random in an epoch follows from the seed and the epoch's number, and the state after each epoch is kept on
disk. An interrupted training therefore resumes from its last complete epoch and ends with the same weights as one that
was never interrupted.
"""

import copy
import logging
import math
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from lib.audio.augment.augmentation import Augmentation
from lib.audio.spectrogram_tensors import spectrograms_of
from lib.audio.spectrograms import Takes
from lib.config.schema import TrainSettings
from lib.core.devices import choose_device
from lib.core.errors import EarshotError
from lib.core.progress import progress
from lib.models.losses import LOSSES, membership, recognition_loss, weigh_classes, weigh_presence
from lib.models.precision import use_bf16
from lib.models.recognizer import Recognizer
from lib.training.batches import load_batches, read_inputs, scaled
from lib.training.epoch_choice import best_epoch, best_so_far, better_than_before, is_over
from lib.training.learning_rate_schedule import learning_rate, plateau_factor
from lib.training.optimizer import make_optimizer
from lib.training.training_state import keep_state, read_state
from lib.training.training_tasks import Task
from lib.training.transfer import frozen_parts, start_model
from lib.training.validation import TrainingFigures, validation_figures, window_logits
from lib.training.weight_averaging import Weights, average_weights, copy_weights, renew_statistics
from lib.training.window_embeddings import embed_windows


class Learner:
    """A model on its device, with what a step of training needs."""

    def __init__(self, task: Task) -> None:
        settings = task.settings
        self.task, self.fabric = task, _fabric(settings)
        description = task.describe(settings.epochs)
        torch.manual_seed(settings.seed)
        model = start_model(description, settings)
        frontend = model.frontend
        from_sound, has_images = description.takes == "waveforms", frontend.gives == "images"
        listed = settings.model_copy(update={"augmentations": []}) if settings.embeds_once else settings
        self._augmentation = Augmentation(listed, task.windows.audio, from_sound, has_images, frontend.silence)
        self._reads: Takes = "waveforms" if self._augmentation.needs_sound else "spectrograms"
        if self._reads == "waveforms":
            task.windows.check_sound()
        never_trained = frozen_parts(model, settings, settings.epochs).parameters
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model: Any
        self.model, self.optimizer = self.fabric.setup(model, make_optimizer(model, settings, never_trained))
        self.begin(1)
        self._embeddings = None
        if settings.embeds_once:
            needed = np.union1d(task.training, task.validating) if settings.quick else np.arange(len(task.windows))
            self._embeddings = embed_windows(self.fabric, self.model.module, task.windows, needed, settings)
        self._loss_options = self.fabric.to_device(loss_options(task))

    def batches(self, epoch: int) -> Generator[tuple[Tensor, Tensor]]:
        """The augmented batches of an epoch, from 0; puts the model into training mode.

        A backbone that embeds once has its feature maps in them, of windows as they are.
        """
        task, order = self.task, self.task.order(epoch)
        torch.manual_seed(task.settings.seed * 1_000_003 + epoch)
        if self._embeddings is not None:
            self.train_mode()
            for batch in order:
                labels = torch.from_numpy(task.windows.labels[batch]).float()
                yield self.fabric.to_device((self._embeddings[batch], labels))
            return
        backgrounds = self._background_batches(order, epoch)
        self.train_mode()
        loaded = load_batches(task.windows, order, task.settings.workers, self._reads)
        for batch, (x, y) in zip(order, loaded, strict=True):
            alone = torch.from_numpy(task.noise[batch]) if task.settings.noise_class else None
            x, y, background, alone = self.fabric.to_device((x, y, next(backgrounds), alone))
            if background is not None:
                background = scaled(background)
            x, y = scaled(x), y.float()
            if self._reads == "waveforms":
                x, y = self._augmentation.on_waveforms(x, y, background, alone)
                x, background = self.images_of(x), None
            if x.ndim > 2:
                x, y = self._augmentation.on_spectrograms(x, y, background, alone)
            yield x, y

    def _background_batches(self, order: list[np.ndarray], epoch: int) -> Iterator[Tensor | None]:
        """As many random background windows as each batch has windows; None where there are none, or none is needed."""
        task = self.task
        rng = np.random.default_rng([task.settings.seed, epoch, 1])
        is_mixed = self._augmentation.needs_background and len(task.background) > 0
        for batch in order:
            yield read_inputs(task.windows, rng.choice(task.background, len(batch)), self._reads) if is_mixed else None

    def images_of(self, waveforms: Tensor) -> Tensor:
        """What the model takes of waveforms (n, samples): spectrograms, images of the frontend, or the same."""
        if self.model.module.description.takes == "spectrograms":
            return spectrograms_of(waveforms, self.task.windows.audio)
        if self.model.module.frontend.gives == "waveforms":
            return waveforms
        with torch.no_grad():
            return self.model.module.frontend(waveforms)

    def begin(self, epoch: int) -> None:
        """Freeze what is not trained in an epoch, from 1."""
        self.model.requires_grad_(True)
        self.frozen = frozen_parts(self.model.module, self.task.settings, epoch)
        for parameter in self.frozen.parameters:
            parameter.requires_grad_(False)

    def train_mode(self) -> None:
        self.model.train()
        for module in self.frozen.modules:
            module.eval()

    def step(self, x: Tensor, y: Tensor, rate: float) -> Tensor:
        """Learn from a batch at that learning rate; returns the loss."""
        settings = self.task.settings
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        logits, frame_logits = self.model(x, frames=True, are_features=self._embeddings is not None)
        frame_logits = None if frame_logits is None else frame_logits.float()
        loss = recognition_loss(
            logits.float(), frame_logits, y, settings.multi_label, settings.frame_loss_weight, **self._loss_options
        )
        self.optimizer.zero_grad()
        self.fabric.backward(loss, create_graph=getattr(self.optimizer, "is_second_order", False))
        self.optimizer.step()
        return loss.detach()

    def logits(self, epoch: int, loss: float = 0.0) -> Tensor | None:
        """Logits of the validation windows (n, n_classes), None if there are none.

        Raises EarshotError if they or the loss are not finite; without validation, a batch of training windows tells.
        """
        task = self.task
        indices = task.validating if len(task.validating) else task.training[: task.settings.batch_size]
        logits = window_logits(self.fabric, self.model, task.windows, indices, task.settings, self._embeddings)
        if not math.isfinite(loss) or not logits.isfinite().all():
            what = "scores are no numbers" if math.isfinite(loss) else f"loss is {loss}"
            raise EarshotError("", f"training diverged in epoch {epoch} ({what})", "lower train.learning_rate")
        return logits if len(task.validating) else None

    def averaged(self, weights: list[Weights], epoch: int) -> Recognizer:
        """A copy of the model, on the CPU, with the mean of weights; its statistics are of the batches of an epoch."""
        self.model.module.load_state_dict(average_weights(weights))
        if len(weights) > 1:
            self.begin(epoch)
            self.train_mode()
            renew_statistics(self.model, (x for x, _ in self.batches(epoch)))
        return copy.deepcopy(self.model.module).eval().cpu()  # many of them would fill a GPU


def loss_options(task: Task) -> dict[str, Any]:
    """Options of classification_loss, as the settings say and the training windows are."""
    settings, kind = task.settings, LOSSES[task.settings.loss]
    counts = torch.from_numpy(task.windows.labels[task.training].sum(axis=0))
    return {
        "pos_smoothing": settings.pos_label_smoothing,
        "neg_smoothing": settings.neg_label_smoothing,
        "class_weights": weigh_classes(counts, settings.class_weight_exponent),
        "pos_weights": weigh_presence(counts, len(task.training)) if kind.has_pos_weights else None,
        "focal_gamma": settings.focal_gamma if kind.is_focal else 0.0,
        "families": membership(list(task.windows.classes["category"])) if kind.has_families else None,
    }


class Trained(NamedTuple):
    """A trained model, on the CPU, after `epoch` epochs."""

    model: Recognizer
    epoch: int
    logits: Tensor | None  # of the validation windows, (n, n_classes); None without any


def fit(
    task: Task,
    state_file: Path,
    fingerprint: str,
    on_epoch: Callable[[int, TrainingFigures], None],
    is_stopped: Callable[[], bool],
) -> tuple[list[Trained], list[TrainingFigures]]:
    """Train a model; returns those of the last settings.save_last_n epochs, and the figures of all epochs.

    If it is stopped, returns the model of the best complete epoch so far, if there is one. For the other arguments and
    errors see lib.training.trainer.train_models.
    """
    settings = task.settings
    learner = Learner(task)
    state = read_state(state_file, fingerprint)
    rows: list[TrainingFigures] = state.get("epochs", [])
    weights: dict[int, Weights] = state.get("weights", {})  # by epoch, of those that are needed at the end
    if rows:
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
    while not is_over(rows, settings) and not is_stopped():
        epoch, losses = len(rows) + 1, []
        is_plateau = settings.schedule == "plateau"
        is_better = better_than_before(rows, settings)[settings.head_epochs :] if is_plateau else []
        factor = plateau_factor(is_better, settings)
        learner.begin(epoch)
        with closing(learner.batches(epoch - 1)) as batches:
            for _ in takewhile(lambda _: not is_stopped(), range(n_batches)):
                rate = learning_rate(next(steps), n_steps, settings, factor)
                losses.append(learner.step(*next(batches), rate))
        if len(losses) < n_batches:
            break
        row = {"fold": task.fold} if task.fold else {}
        row |= {"epoch": epoch, "train_loss": float(torch.stack(losses).mean())}
        logits = learner.logits(epoch, row["train_loss"])
        if logits is not None:
            row |= validation_figures(logits, task.truth, settings.multi_label, settings.metric)
        rows.append({key: round(value, 6) for key, value in (row | {"learning_rate": rate}).items()})
        if epoch in (needed := _needed(rows, settings)):
            weights[epoch] = copy_weights(learner.model.module)
        weights = {number: kept for number, kept in weights.items() if number in needed}
        state = {"fingerprint": fingerprint, "learning_rate": settings.learning_rate}
        state |= {"epochs": rows, "weights": weights}
        state |= {"model": learner.model.state_dict(), "optimizer": learner.optimizer.state_dict()}
        keep_state(state_file, state)
        on_epoch(n_before + epoch, rows[-1])
    steps.close()
    if is_over(rows, settings):
        return [_finish(learner, weights, epoch) for epoch in _saved(rows, settings)], rows
    if not rows:
        return [], rows
    best = best_so_far(rows, settings)
    return [_finish(learner, {best: weights[best]}, best)], rows


def _saved(rows: list[TrainingFigures], settings: TrainSettings) -> range:
    """The epochs whose models are kept, if training ends after these."""
    last = best_epoch(rows, settings) if settings.keep == "best" else len(rows)
    return range(max(1, last - settings.save_last_n + 1), last + 1)


def _needed(rows: list[TrainingFigures], settings: TrainSettings) -> set[int]:
    """The epochs, of those that are over, whose weights may be needed at the end, or if training is stopped."""
    return {best_so_far(rows, settings), *_needed_at_end(rows, settings)}


def _needed_at_end(rows: list[TrainingFigures], settings: TrainSettings) -> range:
    if settings.keep == "best" or settings.stop_after:
        saved = _saved(rows, settings)
        return range(max(1, saved[0] - settings.average_last_n + 1), saved[-1] + 1)
    return range(max(1, settings.epochs - settings.save_last_n - settings.average_last_n + 2), settings.epochs + 1)


def _finish(learner: Learner, weights: dict[int, Weights], epoch: int) -> Trained:
    """The model of an epoch: the mean of the weights of settings.average_last_n epochs up to it."""
    first = epoch - learner.task.settings.average_last_n + 1
    model = learner.averaged([weights[i] for i in sorted(weights) if first <= i <= epoch], epoch)
    training = learner.task.origin(epoch)
    # Not described anew: an ONNX file and its card may have changed since the model was made.
    model.description = model.description.model_copy(update={"training": training})
    return Trained(model, epoch, learner.logits(epoch))


def _fabric(settings: TrainSettings) -> Fabric:
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    device = choose_device(settings.device)
    bf16 = use_bf16(settings.precision, device)
    return Fabric(accelerator=device.type, devices=1, precision="bf16-mixed" if bf16 else "32-true")
