"""The learning-rate range test: batches are trained at rates that grow exponentially, until the loss diverges.

Smith, Cyclical Learning Rates for Training Neural Networks, 2017. The suggestion is a tenth of the rate at which the
loss is lowest (Howard and Gugger, fastai: A Layered API for Deep Learning, 2020), or the rate at which the loss falls
steepest, if that is higher: the steepest fall alone may be that of the biases, which only learn how common classes are.
"""

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from lib.config.schema import TrainSettings
from lib.core.devices import reproducible
from lib.core.errors import EarshotError
from lib.core.progress import progress
from lib.training.training_loop import Learner
from lib.training.training_tasks import make_tasks
from lib.training_data.stored_windows import StoredWindows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOWEST, HIGHEST = 1e-7, 10.0
DIVERGED = 4.0
"""The test ends when the mean of three losses is that many times the lowest."""
WIDTH = 0.04
"""Standard deviation of the Gaussian that smooths the losses, as a share of the number of batches."""
FEWEST = 10
"""Batches below which the curve says nothing."""


@dataclass(frozen=True)
class RangeTest:
    """Learning rates that were tried (n,), the loss at each, and the smoothed losses."""

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray

    @cached_property
    def steepest(self) -> float:
        """The rate at which the smoothed loss falls steepest."""
        return steepest(self.rates, self.smoothed)

    @cached_property
    def lowest(self) -> float:
        """The rate at which the smoothed loss is lowest."""
        return float(self.rates[self.smoothed.argmin()])

    @property
    def suggestion(self) -> float:
        """The learning rate to train with."""
        return max(self.steepest, self.lowest / 10)


def find_learning_rate(
    windows: StoredWindows,
    settings: TrainSettings,
    num_batches: int = 100,
    is_stopped: Callable[[], bool] = lambda: False,
) -> RangeTest:
    """Try num_batches learning rates from LOWEST to HIGHEST, each on a batch, with a new model.

    is_stopped: asked before each batch whether to stop.

    Raises EarshotError if the data cannot train a model, num_batches is below FEWEST, the loss is not finite even at
    the lowest rates, or it is stopped.
    """
    try:
        num_batches = operator.index(num_batches)
    except TypeError:
        raise EarshotError(f"num_batches = {num_batches!r}", f"must be a whole number, at least {FEWEST}") from None
    if num_batches < FEWEST:
        raise EarshotError(f"num_batches = {num_batches}", f"must be a whole number, at least {FEWEST}")
    with reproducible(settings.threads, settings.device):
        return _range_test(windows, settings, num_batches, is_stopped)


def _range_test(
    windows: StoredWindows, settings: TrainSettings, num_batches: int, is_stopped: Callable[[], bool]
) -> RangeTest:
    learner = Learner(make_tasks(windows, settings)[0][0])
    learner.begin(settings.epochs)  # of the head alone, the rate would be too high for the backbone
    rates = np.geomspace(LOWEST, HIGHEST, num_batches)
    losses: list[float] = []
    batches = _endless(learner)
    for rate in progress(rates, "find_lr", num_batches, "batches"):
        if is_stopped():
            raise EarshotError("", "training was stopped before it had found a learning rate", "train again")
        losses.append(float(learner.step(*next(batches), float(rate))))
        recent = np.mean(losses[-3:])
        if not np.isfinite(losses[-1]) or (len(losses) > FEWEST and recent > DIVERGED * min(losses)):
            break
    if not np.isfinite(losses[-1]):
        *losses, last = losses
        if len(losses) < FEWEST:
            fault = f"training diverged at a learning rate of {rate:.2g} (loss is {last})"
            raise EarshotError("", fault, "lower train.weight_decay, and check train.load_checkpoint if it is set")
    rates, smoothed = rates[: len(losses)], smooth_losses(np.array(losses), WIDTH * num_batches)
    return RangeTest(rates, np.array(losses), smoothed)


def smooth_losses(losses: np.ndarray, width: float) -> np.ndarray:
    """Means of losses (n,), weighted by a Gaussian of that standard deviation (in batches) around each of them.

    Both sides count alike: a moving average of the preceding losses would suggest rates that are too high.
    """
    at = np.arange(len(losses))
    weights = np.exp(-0.5 * ((at[:, None] - at) / width) ** 2)
    return weights @ losses / weights.sum(axis=1)


def steepest(rates: np.ndarray, losses: np.ndarray) -> float:
    """The rate at which the loss falls steepest over the logarithm of the rate, before its minimum."""
    end = max(3, int(losses.argmin()) + 1)
    slopes = np.gradient(losses[:end], np.log(rates[:end]))
    return float(rates[slopes.argmin()])


def plot_range(test: RangeTest) -> "Figure":
    """Loss over learning rate, with the steepest, lowest and suggested rates."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(test.rates, test.losses, color="0.75", linewidth=1, label="each batch")
    axes.plot(test.rates, test.smoothed, color="tab:blue", label="smoothed")
    for rate, color, what in (
        (test.steepest, "tab:green", "steepest fall"),
        (test.lowest, "tab:orange", "lowest"),
        (test.suggestion, "tab:red", "suggested"),
    ):
        loss = float(np.interp(np.log(rate), np.log(test.rates), test.smoothed))
        axes.plot([rate], [loss], "o", color=color, label=f"{what}: {rate:.2g}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss")
    low, high = test.smoothed.min(), test.smoothed[: max(1, len(test.smoothed) // 2)].max()
    axes.set_ylim(max(0.0, low - 0.1 * (high - low)), high + 0.5 * (high - low))  # leave out where it diverges
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def _endless(learner: Learner) -> Iterator[tuple[Tensor, Tensor]]:
    for epoch in count():
        yield from learner.batches(epoch)
