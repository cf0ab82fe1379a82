"""The learning rate of each step: a linear warm-up, then half a cosine down to 0."""

import math

WARM_UP = 0.15
"""Share of the steps in which the learning rate rises."""


def learning_rate(step: int, n_steps: int, peak: float) -> float:
    """Learning rate of a step, from 0, of a training of n_steps; it peaks after WARM_UP of them."""
    rise = max(1, round(WARM_UP * n_steps))
    if step < rise:
        return peak * (step + 1) / rise
    return peak * (1 + math.cos(math.pi * (step - rise) / max(1, n_steps - rise))) / 2
