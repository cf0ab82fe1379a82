import numpy as np
import pytest

from lib.evaluation import intervals


def test_the_recordings_as_they_are_come_first_and_a_draw_holds_as_many():
    weights = intervals.draw(12, 100, seed=1)
    assert weights.shape == (101, 12) and (weights[0] == 1).all()
    assert (weights.sum(axis=1) == 12).all()
    assert (weights[1:] == 0).any(axis=1).mean() > 0.9


def test_draws_depend_on_the_seed_alone():
    assert (intervals.draw(5, 20, seed=1) == intervals.draw(5, 20, seed=1)).all()
    assert (intervals.draw(5, 20, seed=1) != intervals.draw(5, 20, seed=2)).any()


def test_one_recording_has_no_interval():
    assert intervals.draw(1, 200, seed=1).tolist() == [[1]]
    assert np.isnan(intervals.bounds(np.ones((2, 1)))).all()


def test_undefined_samples_and_the_value_itself_do_not_count():
    samples = np.concatenate([[7], np.full(50, np.nan), np.linspace(0, 1, 1001)])
    assert intervals.bounds(samples[None])[0] == pytest.approx((0.025, 0.975))


def test_intervals_cover_the_mean_of_recordings_about_as_often_as_they_say():
    rng = np.random.default_rng(3)
    samples = [intervals.draw(30, 200, seed=trial) @ rng.normal(0.6, 0.1, 30) / 30 for trial in range(200)]
    low, high = intervals.bounds(np.array(samples)).T
    assert 0.88 <= ((low <= 0.6) & (high >= 0.6)).mean() <= 0.99
