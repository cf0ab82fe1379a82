"""Settings of small trainings, and trainings that are interrupted."""

import copy

import pytest
import torch

from lib.config.schema import TrainSettings
from lib.training.trainer import train_models
from lib.training.training_loop import Learner
from lib.training.training_tasks import make_tasks
from tests.training_data.builders import SMALL_WINDOWS

QUICK = TrainSettings(
    epochs=4,
    epoch_windows=160,
    batch_size=16,
    learning_rate=0.003,
    val_fraction=0.25,
    augmentations=SMALL_WINDOWS,
    device="cpu",
    precision="32",
)


class Killed(BaseException):
    """Ends a training as a signal does."""


def with_settings(**changes):
    return TrainSettings(**QUICK.model_dump() | changes)


def trained(windows, folder, **changes):
    return train_models(windows, with_settings(**changes), folder / "state", "a")


def learner_of(windows, **changes):
    return Learner(make_tasks(windows, with_settings(**changes))[0][0])


def in_two_categories(windows):
    """The windows, whose first class is of another category than the rest."""
    others = copy.copy(windows)
    n = len(windows.classes)
    others.classes = windows.classes.assign(category=["first", *["rest"] * (n - 1)])
    return others


def assert_noise_stays_alone(learner):
    """In an epoch, windows are mixed, but those that hold the noise class alone get no label of another."""
    task, n_noise, n_mixed = learner.task, 0, 0
    for batch, (_, y) in zip(task.order(0), learner.batches(0), strict=True):
        n_noise += task.noise[batch].sum()
        assert not y[torch.from_numpy(task.noise[batch])].any()
        n_mixed += int((y.sum(dim=1) > 1).sum())
    assert n_noise and n_mixed


def kill_after(windows, state, fingerprint, step, settings=QUICK):
    """Train until that epoch, counted over all folds, is done."""

    def on_epoch(done, row):
        if done == step:
            raise Killed

    with pytest.raises(Killed):
        train_models(windows, settings, state, fingerprint, on_epoch)


def assert_same(first, second):
    """Two outcomes are the same: figures, models, descriptions."""
    assert first.epochs == second.epochs
    assert first.metrics == second.metrics
    assert list(first.models) == list(second.models)
    for model, other in zip(first.models.values(), second.models.values(), strict=True):
        assert model.description == other.description
        weights = other.state_dict()
        assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
