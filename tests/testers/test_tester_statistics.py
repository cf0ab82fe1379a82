import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from lib.testers.tester_statistics import (
    area_statistics,
    at_recall,
    points,
    precision_recall_curve,
    rates,
    roc_curve,
)


def random_pairs(seed, n=200, classes=4, decimals=2):
    """Truth and scores, many of which are tied and many 0; each class has positives and negatives."""
    rng = np.random.default_rng(seed)
    truth = rng.random((n, classes)) < 0.3
    truth[0], truth[1] = True, False
    scores = np.clip(rng.normal(np.where(truth, 0.6, 0.2), 0.3), 0, 1).round(decimals).astype(np.float32)
    return truth, scores


@given(seed=st.integers(0, 1000), decimals=st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_curves_are_those_of_scikit_learn(seed, decimals):
    truth, scores = random_pairs(seed, decimals=decimals)
    curve = points(truth, scores)
    for ours, theirs in zip(
        precision_recall_curve(curve), sklearn.precision_recall_curve(truth.ravel(), scores.ravel()), strict=True
    ):
        np.testing.assert_allclose(ours, theirs)
    for ours, theirs in zip(roc_curve(curve), sklearn.roc_curve(truth.ravel(), scores.ravel()), strict=True):
        np.testing.assert_allclose(ours, theirs)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["pr", "roc"])
def test_areas_are_those_of_scikit_learn(seed, kind):
    truth, scores = random_pairs(seed)
    score = sklearn.average_precision_score if kind == "pr" else sklearn.roc_auc_score
    some = [0, 2]
    both = area_statistics((truth[:, some], scores[:, some]), (truth, scores), ["a", "c"])
    stats = both[kind == "roc"]
    macro, micro = (score(truth[:, some], scores[:, some], average=way) for way in ("macro", "micro"))
    trained = score(truth, scores, average="micro")
    assert stats[f"macro_{kind}_auc"] == pytest.approx(macro)
    assert stats[f"micro_{kind}_auc_annotated"] == pytest.approx(micro)
    assert stats[f"micro_{kind}_auc_trained"] == pytest.approx(trained)
    assert stats[f"combined_{kind}_auc_annotated"] == pytest.approx((macro + micro) / 2)
    assert stats[f"combined_{kind}_auc_trained"] == pytest.approx((macro + trained) / 2)
    by_class = score(truth[:, some], scores[:, some], average=None)
    assert stats[f"class_{kind}_auc"] == pytest.approx(dict(zip("ac", by_class, strict=True)))


@pytest.mark.parametrize("kind", ["pr", "roc"])
def test_a_class_without_negatives_or_positives_has_no_area_and_no_part_in_the_macro_average(kind):
    truth, scores = random_pairs(1)
    truth[:, 0], truth[:, 1] = True, False
    stats = area_statistics((truth, scores), (truth, scores), list("abcd"))[kind == "roc"]
    by_class = stats[f"class_{kind}_auc"]
    assert np.isnan([by_class["a"], by_class["b"]]).all()
    assert stats[f"macro_{kind}_auc"] == pytest.approx((by_class["c"] + by_class["d"]) / 2)


def test_nothing_at_all_is_undefined_and_no_error():
    nothing = (np.zeros((4, 0), np.uint8), np.zeros((4, 0), np.float32))
    stats, _ = area_statistics(nothing, nothing, [])
    assert np.isnan([stats["macro_pr_auc"], stats["micro_pr_auc_trained"]]).all()
    assert rates(*nothing, np.array([0.5])).precision.tolist() == [0]
    precision, recall, threshold = precision_recall_curve(points(*nothing))
    assert (precision.tolist(), recall.tolist(), threshold.tolist()) == ([1], [0], [])


@pytest.mark.parametrize("threshold", [0.01, 0.29, 0.5, 0.57, 1.0])
def test_rates_are_those_of_scikit_learn_with_scores_at_the_threshold_found(threshold):
    truth, scores = random_pairs(3)
    here = rates(truth, scores, np.array([threshold]))
    found = scores >= np.float32(threshold)
    options = {"zero_division": 0}
    assert here.precision[0] == pytest.approx(sklearn.precision_score(truth, found, average="micro", **options))
    assert here.recall[0] == pytest.approx(sklearn.recall_score(truth, found, average="micro", **options))
    by_class = sklearn.precision_score(truth, found, average=None, **options)
    np.testing.assert_allclose(here.class_precision[:, 0], by_class)
    np.testing.assert_allclose(here.class_recall[:, 0], sklearn.recall_score(truth, found, average=None, **options))


def test_the_cost_of_a_recall_is_that_of_the_highest_threshold_that_has_it():
    curve = points(np.array([1, 0, 1, 0, 0], bool), np.array([0.9, 0.8, 0.7, 0.6, 0], np.float32))
    fpr, precision = at_recall(curve, np.array([0, 0.2, 0.5, 0.51, 1]))
    np.testing.assert_allclose(fpr, [0, 0, 0, 1 / 3, 1 / 3])
    np.testing.assert_allclose(precision, [1, 1, 1, 2 / 3, 2 / 3])
