"""Training: AdamW, a learning rate that rises and then falls as a cosine, augmentation, a validation after each epoch.

Everything random in an epoch follows from the seed and the epoch's number, and the state after each epoch is kept on
disk, so a run that was killed goes on from its last whole epoch and ends where an undisturbed run would.
"""

import logging
import math
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor

from lib.audio.augment import Augmentation
from lib.config import Train
from lib.console import progress
from lib.database.stored_windows import StoredWindows
from lib.digests import LIB, digest_code
from lib.errors import EarshotError, Problem
from lib.files import atomic
from lib.models.description import Description
from lib.models.device import choose_device, use_bf16
from lib.models.losses import classification_loss
from lib.models.recognizer import Recognizer, build
from lib.training.batches import epoch_order, load_batches, split_recordings

WARM_UP = 0.15
"""Share of the steps in which the learning rate rises."""

Row = dict[str, float]


@dataclass(frozen=True)
class Outcome:
    """A trained model, its description, a row of figures for each epoch, and what is odd about the data."""

    model: Recognizer
    description: Description
    epochs: list[Row]
    problems: list[Problem]


def train(
    windows: StoredWindows,
    settings: Train,
    state_file: str | Path,
    fingerprint: str,
    on_epoch: Callable[[int, Row], None] = lambda epoch, row: None,
) -> Outcome:
    """Train a recognizer on the windows of a training database.

    state_file: where the state after each epoch is kept until the training ends; a state with the same fingerprint (a
    digest of data and settings) is taken up again. on_epoch: called with each epoch's figures, also with those of
    epochs that an earlier, killed run had finished. Raises EarshotError if the data cannot train a model.
    """
    problems = _check(windows, settings)
    training, validating = split_recordings(windows, settings.val_fraction, settings.seed)
    background = training[~windows.labels[training].any(axis=1)]
    if not settings.multi_label:
        training = training[windows.labels[training].any(axis=1)]
        validating = validating[windows.labels[validating].any(axis=1)]
    torch.manual_seed(settings.seed)
    description = _describe(windows, settings, len(training), len(validating))
    fabric = _fabric(settings)
    augment = Augmentation(settings, windows.audio)
    model = build(description, settings.pretrained).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model, optimizer = fabric.setup(model, _optimizer(model, settings))
    epochs = _resume(state_file, fingerprint, model, optimizer)
    for row in epochs:
        on_epoch(int(row["epoch"]), row)

    n_batches = len(epoch_order(training, settings.epoch_windows, settings.batch_size, settings.seed, 0))
    n_steps, n_done = settings.epochs * n_batches, len(epochs) * n_batches
    steps = progress(range(n_done, n_steps), "train", n_steps, "batches", n_done)
    for epoch in range(len(epochs), settings.epochs):
        torch.manual_seed(settings.seed * 1_000_003 + epoch)
        order = epoch_order(training, settings.epoch_windows, settings.batch_size, settings.seed, epoch)
        beds = _background(windows, background, order, settings, epoch)
        losses = []
        model.train()
        for x, y in load_batches(windows, order, settings.workers):
            step = next(steps)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, n_steps, settings.learning_rate)
            x, y, bed = fabric.to_device((x, y, next(beds)))
            x, y = augment(_scaled(x), y.float(), None if bed is None else _scaled(bed))
            loss = classification_loss(model(x).float(), y, settings.multi_label, settings.label_smoothing)
            optimizer.zero_grad()
            fabric.backward(loss)
            optimizer.step()
            losses.append(loss.detach())
        row = {"epoch": epoch + 1, "train_loss": float(torch.stack(losses).mean())}
        row |= _validate(fabric, model, windows, validating, settings)
        row["learning_rate"] = optimizer.param_groups[0]["lr"]
        epochs.append({key: round(value, 6) for key, value in row.items()})
        _keep(state_file, fingerprint, model, optimizer, epochs)
        on_epoch(epoch + 1, epochs[-1])
    steps.close()
    return Outcome(model.module, description, epochs, problems)


def describe(row: Row) -> str:
    """An epoch's figures as a line of text."""
    shown = {"loss": "train_loss", "validation loss": "val_loss", "macro PR-AUC": "val_macro_pr_auc"}
    return ", ".join(f"{label} {row[key]:.3f}" for label, key in shown.items() if key in row)


def learning_rate(step: int, n_steps: int, peak: float) -> float:
    """Learning rate of a step: linear up to the peak over the first WARM_UP of the steps, then a cosine down to 0."""
    rise = max(1, round(WARM_UP * n_steps))
    if step < rise:
        return peak * (step + 1) / rise
    return peak * (1 + math.cos(math.pi * (step - rise) / max(1, n_steps - rise))) / 2


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


def _describe(windows: StoredWindows, settings: Train, n_training: int, n_validating: int) -> Description:
    training = {"windows": n_training, "validation_windows": n_validating, "epochs": settings.epochs}
    return Description(
        classes=windows.classes.fillna("").to_dict("records"),
        audio=windows.audio,
        backbone=settings.backbone,
        dropout=settings.dropout,
        multi_label=settings.multi_label,
        training=training | {"seed": settings.seed},
    )


def _fabric(settings: Train) -> Fabric:
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    device = choose_device(settings.device)
    bf16 = use_bf16(settings.precision, device)
    return Fabric(accelerator=device.type, devices=1, precision="bf16-mixed" if bf16 else "32-true")


def _optimizer(model: Recognizer, settings: Train) -> torch.optim.Optimizer:
    weights = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [{"params": weights, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=settings.learning_rate)


def _scaled(spectrograms: Tensor) -> Tensor:
    return spectrograms.float() / 255


def _background(
    windows: StoredWindows, background: np.ndarray, order: list[np.ndarray], settings: Train, epoch: int
) -> Iterator[Tensor | None]:
    """Spectrograms without any class, as many as each batch has windows; None where there are none."""
    rng = np.random.default_rng([settings.seed, epoch, 1])
    for batch in order:
        if settings.background_mix and len(background):
            yield torch.from_numpy(windows.spectrograms(rng.choice(background, len(batch))))
        else:
            yield None


@torch.inference_mode()
def _validate(fabric: Fabric, model, windows: StoredWindows, indices: np.ndarray, settings: Train) -> Row:
    """Loss and macro averages over the classes that the validation windows hold both with and without."""
    if not len(indices):
        return {}
    model.eval()
    batches = np.array_split(indices, -(-len(indices) // settings.batch_size))
    loaded = load_batches(windows, batches, settings.workers)
    logits = torch.cat([model(_scaled(fabric.to_device(x))).float().cpu() for x, _ in loaded])
    targets = torch.from_numpy(windows.labels[indices])
    loss = classification_loss(logits, targets.float(), settings.multi_label)
    truth, scores = targets.numpy(), logits.numpy()
    usable = truth.any(axis=0) & ~truth.all(axis=0)
    row = {"val_loss": float(loss)}
    if usable.any():
        row["val_macro_pr_auc"] = float(average_precision_score(truth[:, usable], scores[:, usable], average="macro"))
        row["val_macro_roc_auc"] = float(roc_auc_score(truth[:, usable], scores[:, usable], average="macro"))
    return row


def _keep(state_file: str | Path, fingerprint: str, model, optimizer, epochs: list[Row]) -> None:
    state = {"fingerprint": fingerprint, "epochs": epochs}
    state |= {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    with atomic(state_file) as part, part.open("wb") as file:
        torch.save(state, file)


def _resume(state_file: str | Path, fingerprint: str, model, optimizer) -> list[Row]:
    """Take up the state of a killed run of the same fingerprint; returns the figures of its epochs."""
    state = _read_state(state_file, fingerprint)
    if state:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
    return state.get("epochs", [])


def code_digest() -> str:
    """Digest of the code that a training's result depends on: a state that other code made is not taken up."""
    rooms = [path for room in ("models", "training") for path in sorted((LIB / room).glob("*.py"))]
    return digest_code("audio/augment.py", *(str(path.relative_to(LIB)) for path in rooms))


def epochs_done(state_file: str | Path, fingerprint: str) -> int:
    """How many epochs a training of that fingerprint has behind it already."""
    return len(_read_state(state_file, fingerprint).get("epochs", []))


def _read_state(state_file: str | Path, fingerprint: str) -> dict[str, Any]:
    try:
        state = torch.load(state_file, map_location="cpu", weights_only=True)
    except (FileNotFoundError, pickle.UnpicklingError, RuntimeError, EOFError):
        return {}
    return state if state["fingerprint"] == fingerprint else {}
