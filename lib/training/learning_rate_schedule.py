"""The learning rate of each step: a warm-up, then what the schedule says; SCHEDULES registers them by name."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from lib.config.schema import TrainSettings


class Schedule(NamedTuple):
    """How the learning rate changes, as shares of the way from one rate to another at a share of the time.

    Args:
        rise: from train.start_rate to train.learning_rate, in the warm-up.
        fall: from train.learning_rate to 0, afterwards.
    """

    rise: Callable[[float], float]
    fall: Callable[[float], float]


def _linear(share: float) -> float:
    return share


def _cosine(share: float) -> float:
    return (1 - math.cos(math.pi * share)) / 2


def _none(share: float) -> float:
    return 0.0


SCHEDULES = {
    "cosine": Schedule(_linear, _cosine),
    "one_cycle": Schedule(_cosine, _cosine),
    "plateau": Schedule(_linear, _none),
    "constant": Schedule(_linear, _none),
}
"""cosine: half a cosine down to 0 (Loshchilov and Hutter, SGDR, 2017). one_cycle: the warm-up is half a cosine, too
(Smith and Topin, Super-Convergence, 2019). plateau: the rate falls where validation gets no better, see plateau_factor.
"""


def learning_rate(step: int, n_steps: int, settings: TrainSettings, factor: float = 1.0) -> float:
    """Learning rate of a step, from 0, of a training of n_steps; it peaks when the warm-up ends.

    factor: of the rate, with the schedule plateau.
    """
    schedule, low, peak = SCHEDULES[settings.schedule], settings.start_rate, float(settings.learning_rate)
    rise = max(1, round(settings.warm_up * n_steps))
    if step < rise:
        return factor * (low + (peak - low) * schedule.rise((step + 1) / rise))
    return factor * peak * (1 - schedule.fall((step - rise) / max(1, n_steps - rise)))


def plateau_factor(is_better: Sequence[bool], settings: TrainSettings) -> float:
    """By what the rate is multiplied on a plateau, after epochs that were better than all before them or were not."""
    factor, waited = 1.0, 0
    for better in is_better:
        waited = 0 if better else waited + 1
        if waited >= settings.plateau_epochs:
            factor, waited = factor * settings.plateau_factor, 0
    return factor
