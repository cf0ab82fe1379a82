import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from lib.curation.metrics.class_figures import WEIGHTED, class_figures, stratum_figures
from lib.curation.metrics.matched_events import match_events
from tests.curation.metrics.event_builders import found_table, truth_table
from tests.curation.metrics.test_confusion_queries import MATCHED


def test_figures_are_those_computed_by_hand():
    figures = class_figures(MATCHED)
    # a: t1 found, t2 taken for b; p4 is nothing. b: t3 taken for c, t4 missed; p2 is an a, p5 nothing. c: t5 missed.
    assert figures["a"] == ("a", 1 / 2, 1 / 2, 1 / 2, 1, 1, 1, 2)
    assert figures["b"] == ("b", 0, 0, 0, 0, 2, 2, 2)
    assert figures["c"] == ("c", 0, 0, 0, 0, 1, 1, 1)
    assert figures[WEIGHTED] == (WEIGHTED, pytest.approx(0.2), pytest.approx(0.2), pytest.approx(0.2), 1, 4, 4, 5)


def test_figures_of_whole_windows_are_those_of_scikit_learn():
    rng = np.random.default_rng(1)
    truth, found = rng.choice(list("abcd"), (2, 300), p=[0.4, 0.3, 0.2, 0.1])
    found = np.where(rng.random(300) < 0.6, truth, found)
    matched = match_events(
        truth_table(*((f"f{i}", "t", c, 0, 3) for i, c in enumerate(truth))),
        found_table(*((f"f{i}", "p", c, 0, 3, 0.5) for i, c in enumerate(found))),
        0.5,
    )
    figures = class_figures(matched)
    expected = np.transpose(precision_recall_fscore_support(truth, found, labels=list("abcd")))
    for name, row in zip("abcd", expected, strict=True):
        each = figures[name]
        assert (each.precision, each.recall, each.f1, each.support) == pytest.approx(tuple(row))
    average = precision_recall_fscore_support(truth, found, average="weighted")[:3]
    assert figures[WEIGHTED][1:4] == pytest.approx(average)


def test_only_chosen_rows_count_and_strata_divide_them():
    in_second = MATCHED.frame == 1
    assert class_figures(MATCHED, in_second)[WEIGHTED][4:] == (0, 2, 1, 1)
    first, second, empty = stratum_figures(MATCHED, MATCHED.frame, 3)
    assert repr(second) == repr(class_figures(MATCHED, in_second))
    assert first["a"].true_positives == 1 and np.isnan(empty[WEIGHTED].recall)
