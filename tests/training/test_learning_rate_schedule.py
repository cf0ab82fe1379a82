import math

import pytest

from lib.training.learning_rate_schedule import learning_rate


def test_learning_rate_rises_and_falls():
    rates = [learning_rate(step, 40, 0.01) for step in range(40)]  # rises over 0.15 * 40 = 6 steps
    assert rates[:6] == pytest.approx([0.01 * k / 6 for k in range(1, 7)])
    assert rates[6] == pytest.approx(0.01)
    assert rates[23] == pytest.approx(0.005)  # halfway between 6 and 40
    assert rates[39] == pytest.approx(0.01 * (1 + math.cos(math.pi * 33 / 34)) / 2)
    assert learning_rate(0, 1, 0.01) == pytest.approx(0.01)
