import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from lib import Trainer, get_config
from lib.core.errors import EarshotError
from lib.models.checkpoints import save_checkpoint
from lib.training.learning_rate_finder import RangeTest, find_learning_rate, plot_range, smooth_losses, steepest
from tests.models.builders import save_random_model
from tests.training.builders import QUICK, with_settings
from tests.training_data.builders import AUDIO


@pytest.fixture(scope="module")
def tested(windows):
    return find_learning_rate(windows, QUICK, 40)


def test_rates_grow_exponentially_until_the_loss_diverges_or_they_end(tested):
    assert tested.rates[0] == pytest.approx(1e-7)
    assert np.diff(np.log(tested.rates)) == pytest.approx(math.log(1e8) / 39)
    assert 15 < len(tested.rates) <= 40
    assert len(tested.losses) == len(tested.smoothed) == len(tested.rates)
    assert np.isfinite(tested.losses).all()


def test_suggestion_is_a_rate_at_which_the_loss_falls(tested):
    assert 1e-5 < tested.suggestion < 1
    at = np.interp(np.log([tested.suggestion / 2, tested.suggestion * 2]), np.log(tested.rates), tested.smoothed)
    assert at[1] < at[0]


def test_same_settings_suggest_the_same(windows, tested):
    again = find_learning_rate(windows, QUICK, 40)
    assert np.array_equal(again.losses, tested.losses)
    assert again.suggestion == tested.suggestion


def test_rate_is_that_of_all_that_is_trained_in_the_end(windows):
    whole = find_learning_rate(windows, with_settings(), 12)
    later = find_learning_rate(windows, with_settings(head_epochs=2), 12)
    np.testing.assert_array_equal(later.losses, whole.losses)


def test_steepest_descent_is_sought_before_the_lowest_loss():
    rates = np.geomspace(1e-6, 1, 7)
    assert steepest(rates, np.array([5, 4.9, 4.5, 3.0, 2.2, 2.1, 9])) == pytest.approx(1e-3)  # (2.2 - 4.5) / 2
    assert steepest(rates, np.array([5, 4.9, 4.5, 2.0, 9.0, 2.5, 2.4])) == pytest.approx(1e-3)  # not what comes after


def test_smoothing_weighs_both_sides_alike():
    losses = np.array([2.0, 5.0, 2.0])
    side = math.exp(-0.5)
    assert smooth_losses(losses, 1.0)[1] == pytest.approx((5 + 4 * side) / (1 + 2 * side))
    assert smooth_losses(np.arange(50.0), 2.0)[20:30] == pytest.approx(np.arange(20.0, 30.0), abs=1e-6)
    assert smooth_losses(np.full(50, 3.0), 2.0) == pytest.approx(np.full(50, 3.0))


@pytest.mark.parametrize("number", [5, "ten", 12.0])
def test_too_few_batches_are_refused(windows, number):
    with pytest.raises(EarshotError, match=f"num_batches = {number!r}: must be a whole number, at least 10"):
        find_learning_rate(windows, QUICK, number)


def test_number_of_batches_may_be_one_of_numpy(windows):
    assert len(find_learning_rate(windows, QUICK, np.int64(12)).rates) <= 12


def test_loss_that_is_no_number_from_the_beginning_is_one_clear_line(windows, tmp_path):
    broken = save_random_model(tmp_path / "broken.pt", AUDIO)
    broken.normalize.weight.data[:] = math.nan
    save_checkpoint(tmp_path / "broken.pt", broken, broken.description)
    for changes in ({"load_checkpoint": str(tmp_path / "broken.pt")}, {"weight_decay": 1e30}):
        with pytest.raises(EarshotError, match=r"training diverged at a learning rate of \d.*e-07 \(loss is nan\)"):
            find_learning_rate(windows, with_settings(**changes), 40)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([2, 1, 0.9, 0.8, 0.7, 0.6, 0.55, 0.5, 3], 10**-1.5),  # a tenth of the lowest loss's
        ([2, 2, 2, 2, 2, 2, 1, 0.5, 3], 10**-1),  # no less than where it falls steepest
    ],
)
def test_suggestion_is_a_tenth_of_the_lowest_or_the_steepest(losses, expected):
    rates, losses = np.geomspace(1e-4, 1, 9), np.array(losses, float)
    tested = RangeTest(rates, losses, losses)
    assert tested.lowest == pytest.approx(10**-0.5)
    assert tested.suggestion == pytest.approx(expected)


def test_plot_marks_the_rates_to_train_with():
    rates = np.geomspace(1e-7, 1, 20)
    curve = np.concatenate([np.linspace(2.1, 2, 10), [1.2, 1.1, 1.0], np.linspace(2, 5, 7)])
    tested = RangeTest(rates, curve, curve)
    assert tested.steepest in rates[9:11]
    assert tested.lowest == rates[12]
    [axes] = plot_range(tested).axes
    assert axes.get_xscale() == "log"
    marks = [float(line.get_xdata()[0]) for line in axes.lines if len(line.get_xdata()) == 1]
    assert marks == [tested.steepest, tested.lowest, tested.suggestion]


def test_trainer_finds_a_rate_and_changes_nothing(folder, tmp_path):
    cfg = get_config()
    cfg.train = QUICK
    before = (folder / "training.db").read_bytes()
    rate, figure = Trainer(cfg=cfg, database=folder / "training.db", output=tmp_path / "models").find_lr(20)
    assert isinstance(rate, float) and isinstance(figure, Figure)
    assert (folder / "training.db").read_bytes() == before
    assert not (tmp_path / "models").exists()
