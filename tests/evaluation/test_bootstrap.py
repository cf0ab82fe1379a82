import numpy as np
import pytest

from lib.evaluation import bootstrap


def test_a_draw_holds_as_many_recordings_as_there_are():
    weights = bootstrap.draw(12, 100, seed=1)
    assert weights.shape == (100, 12)
    assert (weights.sum(axis=1) == 12).all()
    assert (weights == 0).any(axis=1).mean() > 0.9


def test_draws_depend_on_the_seed_alone():
    assert (bootstrap.draw(5, 20, seed=1) == bootstrap.draw(5, 20, seed=1)).all()
    assert (bootstrap.draw(5, 20, seed=1) != bootstrap.draw(5, 20, seed=2)).any()


def test_one_recording_has_no_interval():
    assert bootstrap.draw(1, 200, seed=1).shape == (0, 1)
    assert np.isnan(bootstrap.interval(np.empty(0))).all()


def test_interval_passes_over_undefined_samples():
    samples = np.concatenate([np.full(50, np.nan), np.linspace(0, 1, 1001)])
    assert bootstrap.interval(samples) == pytest.approx((0.025, 0.975))


def test_interval_covers_the_mean_of_recordings_about_as_often_as_it_says():
    rng = np.random.default_rng(3)
    hits = 0
    for trial in range(200):
        values = rng.normal(0.6, 0.1, 30)
        low, high = bootstrap.interval(bootstrap.draw(30, 200, seed=trial) @ values / 30)
        hits += low <= 0.6 <= high
    assert 0.88 <= hits / 200 <= 0.99
