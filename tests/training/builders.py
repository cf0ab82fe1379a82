"""Settings of small trainings, and trainings that are killed."""

import pytest
import torch

from lib.config import Train
from lib.training.trainer import train

QUICK = Train(
    epochs=4,
    epoch_windows=160,
    batch_size=16,
    learning_rate=0.003,
    val_fraction=0.25,
    time_mask_seconds=0.05,
    freq_mask_bands=2,
    device="cpu",
    precision="32",
)


class Killed(BaseException):
    """Ends a training as a signal does."""


def with_settings(**changes):
    return Train(**QUICK.model_dump() | changes)


def kill_after(windows, state, fingerprint, step, settings=QUICK):
    """Train until that epoch, counted over all folds, is done."""

    def on_epoch(done, row):
        if done == step:
            raise Killed

    with pytest.raises(Killed):
        train(windows, settings, state, fingerprint, on_epoch)


def assert_same(first, second):
    """Two outcomes are the same: figures, models, descriptions."""
    assert first.epochs == second.epochs
    assert first.metrics == second.metrics
    assert list(first.models) == list(second.models)
    for model, other in zip(first.models.values(), second.models.values(), strict=True):
        assert model.description == other.description
        weights = other.state_dict()
        assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
