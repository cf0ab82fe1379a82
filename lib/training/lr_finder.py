"""The learning-rate range test: one batch after the other at rates that grow exponentially, until the loss diverges.

Smith, Cyclical Learning Rates for Training Neural Networks, 2017. A tenth of the rate at which the loss is lowest is
suggested (Howard and Gugger, fastai: A Layered API for Deep Learning, 2020), or the one at which the loss falls
steepest, if that is higher: the steepest fall alone may be that of the biases, which only learn how common classes are.
"""

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from lib.config import Train
from lib.console import progress
from lib.database.stored_windows import StoredWindows
from lib.errors import EarshotError
from lib.training.loop import Learner
from lib.training.trainer import make_tasks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOWEST, HIGHEST = 1e-7, 10.0
DIVERGED = 4.0
"""The test ends where the mean of three losses is that many times the lowest."""
WIDTH = 0.04
"""Standard deviation of the Gaussian that the losses are smoothed with, as a share of the number of batches."""
FEWEST = 10
"""Batches, below which there is no curve to speak of."""


@dataclass(frozen=True)
class RangeTest:
    """Learning rates that were tried (n,), the loss at each, and its smoothed curve.

    steepest, lowest: where that falls steepest, and where it is lowest; suggestion: what to train with.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray

    @cached_property
    def steepest(self) -> float:
        return steepest(self.rates, self.smoothed)

    @cached_property
    def lowest(self) -> float:
        return float(self.rates[self.smoothed.argmin()])

    @property
    def suggestion(self) -> float:
        return max(self.steepest, self.lowest / 10)


def find_learning_rate(windows: StoredWindows, settings: Train, num_batches: int = 100) -> RangeTest:
    """Try num_batches learning rates from LOWEST to HIGHEST, each on a batch of a training with these settings.

    The model is one of its own, which is thrown away. Raises EarshotError if the data cannot train a model,
    num_batches is below FEWEST, or the loss is no number even at the lowest rates.
    """
    try:
        num_batches = operator.index(num_batches)
    except TypeError:
        raise EarshotError(f"num_batches = {num_batches!r}: must be a whole number, at least {FEWEST}") from None
    if num_batches < FEWEST:
        raise EarshotError(f"num_batches = {num_batches}: must be a whole number, at least {FEWEST}")
    learner = Learner(make_tasks(windows, settings)[0][0])
    rates = np.geomspace(LOWEST, HIGHEST, num_batches)
    losses: list[float] = []
    batches = _endless(learner)
    for rate in progress(rates, "find_lr", num_batches, "batches"):
        losses.append(float(learner.step(*next(batches), float(rate))))
        recent = np.mean(losses[-3:])
        if not np.isfinite(losses[-1]) or (len(losses) > FEWEST and recent > DIVERGED * min(losses)):
            break
    if not np.isfinite(losses[-1]):
        *losses, last = losses
        if len(losses) < FEWEST:
            fault = f"training diverged at a learning rate of {rate:.2g} (loss is {last})"
            raise EarshotError(f"{fault}; lower train.weight_decay, and check train.load_checkpoint if it is set")
    rates, smoothed = rates[: len(losses)], smooth(np.array(losses), WIDTH * num_batches)
    return RangeTest(rates, np.array(losses), smoothed)


def smooth(losses: np.ndarray, width: float) -> np.ndarray:
    """Means of losses (n,), weighted by a Gaussian of that standard deviation (in batches) around each of them.

    Both sides count alike: a moving average of what came before would suggest rates that are too high.
    """
    at = np.arange(len(losses))
    weights = np.exp(-0.5 * ((at[:, None] - at) / width) ** 2)
    return weights @ losses / weights.sum(axis=1)


def steepest(rates: np.ndarray, losses: np.ndarray) -> float:
    """The rate at which the loss falls steepest over the logarithm of the rate, before it is lowest."""
    end = max(3, int(losses.argmin()) + 1)
    slopes = np.gradient(losses[:end], np.log(rates[:end]))
    return float(rates[slopes.argmin()])


def plot_range(found: RangeTest) -> "Figure":
    """Loss over learning rate, with the rates to train with."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(found.rates, found.losses, color="0.75", linewidth=1, label="each batch")
    axes.plot(found.rates, found.smoothed, color="tab:blue", label="smoothed")
    for rate, color, what in (
        (found.steepest, "tab:green", "steepest fall"),
        (found.lowest, "tab:orange", "lowest"),
        (found.suggestion, "tab:red", "suggested"),
    ):
        at = float(np.interp(np.log(rate), np.log(found.rates), found.smoothed))
        axes.plot([rate], [at], "o", color=color, label=f"{what}: {rate:.2g}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss")
    low, high = found.smoothed.min(), found.smoothed[: max(1, len(found.smoothed) // 2)].max()
    axes.set_ylim(max(0.0, low - 0.1 * (high - low)), high + 0.5 * (high - low))  # where it diverges is of no interest
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def _endless(learner: Learner) -> Iterator[tuple[Tensor, Tensor]]:
    for epoch in count():
        yield from learner.batches(epoch)
