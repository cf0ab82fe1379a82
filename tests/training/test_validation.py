import numpy as np
import pytest
import torch
from scipy import stats

from lib.training.validation import over_folds, validation_figures


def test_figures_of_a_single_label_rank_the_scores_of_a_softmax():
    logits = torch.tensor([[5.0, 9.0], [1.0, 0.0]])  # softmax of the first class: 0.02 and 0.73, though 5 is above 1
    row = validation_figures(logits, np.array([[False, True], [True, False]]), multi_label=False)
    assert (row["val_macro_pr"], row["val_macro_roc"]) == (1.0, 1.0)
    assert (
        validation_figures(logits, np.array([[False, True], [True, False]]), multi_label=True)["val_macro_roc"] == 0.5
    )


def test_figures_at_a_half_are_those_computed_by_hand():
    truth = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]], bool)
    logits = torch.tensor([[2.0, -1.0, -3.0], [-0.1, 0.1, -1.0], [0.0, 4.0, -2.0], [-2.0, -5.0, 1.0]])
    rows = {metric: validation_figures(logits, truth, True, metric) for metric in ("val_f1", "val_hamming", "val_loss")}
    # One right, one missed, one false (a score of exactly 0.5 counts); both right; one false.
    assert rows["val_f1"]["val_f1"] == pytest.approx((2 / (2 + 1 + 1) + 1 + 0) / 3)
    assert rows["val_hamming"]["val_hamming"] == pytest.approx(9 / 12)
    assert not {"val_f1", "val_hamming"} & rows["val_loss"].keys()


def test_figures_of_folds_are_their_mean_deviation_and_interval():
    values = [0.5, 0.75, 0.625]
    summary = over_folds([{"val_loss": value} for value in values] + [{}])
    assert summary["val_loss"] == np.mean(values)
    assert summary["val_loss_std"] == pytest.approx(np.std(values, ddof=1), abs=1e-6)
    interval = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert (summary["val_loss_low"], summary["val_loss_high"]) == pytest.approx(interval, abs=1e-6)
    assert over_folds([{"val_loss": 0.5}]) == {"val_loss": 0.5}
