import pytest

from lib.core.errors import EarshotError
from lib.training.epoch_choice import best_epoch, better_than_before, is_over
from tests.training.builders import with_settings


def rows(name, *values):
    return [{"epoch": epoch, name: value} for epoch, value in enumerate(values, 1)]


@pytest.mark.parametrize(
    ("metric", "mode", "best"),
    [
        ("val_loss", "auto", 2),
        ("val_f1", "auto", 3),
        ("val_f1", "min", 2),
        ("val_loss", "max", 3),
    ],
)
def test_the_best_epoch_is_the_first_of_the_lowest_loss_or_the_highest_figure(metric, mode, best):
    settings = with_settings(metric=metric, metric_mode=mode)
    epochs = rows(metric, 0.5, 0.2, 0.9, 0.2, 0.9)
    assert best_epoch(epochs, settings) == best
    assert better_than_before(epochs, settings)[:3] == [True, best == 2, best == 3]


def test_training_stops_when_no_epoch_was_better_for_as_long_as_is_set():
    epochs = rows("val_loss", 0.5, 0.3, 0.4, 0.35, 0.31, 0.2)
    settings = with_settings(epochs=10, stop_after=3)
    assert [is_over(epochs[:n], settings) for n in range(7)] == [False] * 5 + [True, False]
    assert [is_over(epochs[:n], with_settings(epochs=5)) for n in (4, 5)] == [False, True]


def test_a_figure_that_no_window_tells_is_one_clear_line():
    with pytest.raises(EarshotError, match=r"train\.metric = 'val_f1': no validation window tells it; set train"):
        best_epoch(rows("val_loss", 0.5), with_settings(metric="val_f1"))


def test_epochs_of_the_head_alone_do_not_end_a_training():
    epochs = rows("val_loss", *[0.3] * 10)
    settings = with_settings(epochs=20, stop_after=3, head_epochs=5)
    assert [is_over(epochs[:n], settings) for n in (4, 7, 8)] == [False, False, True]
