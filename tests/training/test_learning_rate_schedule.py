import math
from typing import get_args

import pytest

from lib.config.schema import TrainSettings
from lib.training.learning_rate_schedule import SCHEDULES, learning_rate, plateau_factor
from tests.training.builders import with_settings


def rates(n_steps=40, **changes):
    """The rates of a training that peaks at 0.01."""
    settings = with_settings(**{"learning_rate": 0.01} | changes)
    return [learning_rate(step, n_steps, settings) for step in range(n_steps)]


def test_learning_rate_rises_and_falls():
    found = rates()  # rises over 0.15 * 40 = 6 steps
    assert found[:6] == pytest.approx([0.01 * k / 6 for k in range(1, 7)])
    assert found[6] == pytest.approx(0.01)
    assert found[23] == pytest.approx(0.005)  # halfway between 6 and 40
    assert found[39] == pytest.approx(0.01 * (1 + math.cos(math.pi * 33 / 34)) / 2)
    assert rates(1) == pytest.approx([0.01])


def test_one_cycle_rises_by_half_a_cosine_from_the_start_rate():
    found = rates(schedule="one_cycle", warm_up=0.5, start_rate=0.002)
    assert found[9] == pytest.approx(0.006) and found[19] == pytest.approx(0.01) and found[30] == pytest.approx(0.005)
    assert found[0] == pytest.approx(0.002 + 0.008 * (1 - math.cos(math.pi / 20)) / 2)


@pytest.mark.parametrize("schedule", ["plateau", "constant"])
def test_a_rate_that_does_not_fall_by_itself_stays_where_the_warm_up_ends(schedule):
    found = rates(schedule=schedule, warm_up=0.1, start_rate=0.002)
    assert found[:4] == pytest.approx([0.004, 0.006, 0.008, 0.01]) and set(found[4:]) == {0.01}
    assert learning_rate(30, 40, with_settings(schedule=schedule, learning_rate=0.01), 0.5) == pytest.approx(0.005)


def test_on_a_plateau_the_rate_falls_again_and_again():
    settings = with_settings(schedule="plateau", plateau_epochs=2, plateau_factor=0.1)
    history = [True, False, True, False, False, False, False, True]
    factors = [plateau_factor(history[:n], settings) for n in range(9)]
    assert factors == pytest.approx([1, 1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])


def test_schedules_are_the_choices_of_the_setting():
    assert set(get_args(TrainSettings.model_fields["schedule"].annotation)) == set(SCHEDULES)
