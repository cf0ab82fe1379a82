import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sk

from lib.evaluation.clip_metrics import CLIP_METRICS, classes_found, clip_figures, clip_scores

TRUTH = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]], bool)
SCORES = np.array([[0.9, 0.6, 0.1], [0.4, 0.8, 0.0], [0.2, 0.7, 0.5], [0.1, 0.3, 0.2]], np.float32)


@st.composite
def clips(draw):
    shape = draw(st.tuples(st.integers(1, 12), st.integers(2, 6)))
    scores = draw(arrays(np.float32, shape, elements=st.integers(0, 8).map(lambda n: n / 8)))
    return draw(arrays(bool, shape)), scores


def test_the_figures_are_as_computed_by_hand():
    # found: a in clip 0; b in clips 0, 1, 2; c in clip 2
    figures = clip_figures(TRUTH, SCORES, 0.5, ["a", "b", "c"])
    of_classes = {
        "a": {"accuracy": 3 / 4, "hamming_distance": 1 / 4, "f1": 2 / 3, "precision": 1, "recall": 1 / 2},
        "b": {"accuracy": 3 / 4, "hamming_distance": 1 / 4, "f1": 4 / 5, "precision": 2 / 3, "recall": 1},
        "c": {"accuracy": 3 / 4, "hamming_distance": 1 / 4, "f1": 0, "precision": 0, "recall": 0},
    }
    expected = {f"instruments/{name}_{key}": value for name, row in of_classes.items() for key, value in row.items()}
    expected |= {"accuracy": 9 / 12, "hamming_distance": 3 / 12}
    expected |= {key: (of_classes["a"][key] + of_classes["b"][key]) / 2 for key in ("f1", "precision", "recall")}
    expected["mAP"] = ((1 + 1) / 2 + (1 + 1) / 2) / 2  # c is nowhere
    expected["LRAP"] = (1 + (1 + 2 / 2) / 2 + 1) / 3  # the last clip has no class
    expected["micro_f1"] = 2 * 3 / (2 * 3 + 2 + 1)
    expected["samples_f1"] = (2 / 3 + 2 / 3 + 2 / 3 + 1) / 4
    assert figures == pytest.approx(expected)


@given(clips(), st.integers(0, 8).map(lambda n: n / 8))
def test_figures_equal_those_of_scikit_learn(clip, threshold):
    truth, scores = clip
    found, present = scores >= threshold, truth.any(axis=0)
    figures = clip_figures(truth, scores, threshold)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert figures["hamming_distance"] == pytest.approx(sk.hamming_loss(truth, found))
        assert figures["micro_f1"] == pytest.approx(sk.f1_score(truth, found, average="micro", zero_division=0))
        assert figures["samples_f1"] == pytest.approx(sk.f1_score(truth, found, average="samples", zero_division=1))
        each = sk.precision_recall_fscore_support(truth, found, average=None, zero_division=0)
    for name, values in zip(("precision", "recall", "f1"), each, strict=False):
        assert figures[name] == pytest.approx(values[present].mean() if present.any() else 0)


@given(clips(), st.floats(0, 1))
def test_accuracy_and_distance_are_complements_and_all_figures_lie_in_0_to_1(clip, threshold):
    figures = clip_figures(*clip, threshold, [str(i) for i in range(clip[0].shape[1])])
    assert figures["accuracy"] + figures["hamming_distance"] == pytest.approx(1)
    assert all(0 <= value <= 1 + 1e-12 for value in figures.values())
    for name in ("accuracy", "hamming_distance"):  # what is over pairs is the mean over classes as well
        each = [figures[f"instruments/{i}_{name}"] for i in range(clip[0].shape[1])]
        assert figures[name] == pytest.approx(np.mean(each))


@given(clips(), st.randoms(use_true_random=False))
def test_the_order_of_clips_and_classes_does_not_matter(clip, random):
    truth, scores = clip
    rows, columns = (random.sample(range(n), n) for n in truth.shape)
    shuffled = clip_figures(truth[np.ix_(rows, columns)], scores[np.ix_(rows, columns)])
    assert shuffled == pytest.approx(clip_figures(truth, scores))


@given(clips())
def test_a_perfect_model_has_figures_of_1(clip):
    truth, _ = clip
    figures = clip_figures(truth, truth.astype(np.float32))
    wanted = {
        "accuracy": 1,
        "hamming_distance": 0,
        "micro_f1": float(truth.any()),
        "samples_f1": 1,
        "mAP": 1,
        "LRAP": 1,
    }
    wanted |= dict.fromkeys(("f1", "precision", "recall"), float(truth.any()))
    assert figures == pytest.approx({name: wanted[name] for name in figures})


def test_a_class_that_no_clip_has_and_a_model_knows_changes_no_mean_over_classes():
    more = np.concatenate([SCORES, np.full((4, 1), 0.1, np.float32)], axis=1)
    wider = clip_figures(np.pad(TRUTH, ((0, 0), (0, 1))), more, 0.5, "abcd")
    narrow = clip_figures(TRUTH, SCORES)
    same = ("f1", "precision", "recall", "mAP", "LRAP", "micro_f1", "samples_f1")
    assert {name: wider[name] for name in same} == pytest.approx({name: narrow[name] for name in same})
    assert wider["instruments/d_f1"] == wider["instruments/d_recall"] == 0
    assert wider["instruments/d_accuracy"] == 1


def test_each_class_may_have_a_threshold_of_its_own():
    figures = clip_figures(TRUTH, SCORES, np.array([0.4, 0.7, 0.6]))
    assert {name: figures[name] for name in CLIP_METRICS} == pytest.approx(
        {"accuracy": 1, "hamming_distance": 0, "f1": 1, "precision": 1, "recall": 1}
    )


def test_a_score_equal_to_the_threshold_is_found_whatever_the_precision_of_floats():
    assert classes_found(np.array([[0.29, 0.3]], np.float32), 0.3).tolist() == [[False, True]]


def test_what_is_undefined_is_left_out():
    figures = clip_figures(np.zeros((2, 3), bool), SCORES[:2])
    assert "mAP" not in figures and "LRAP" not in figures
    assert figures["recall"] == figures["micro_f1"] == 0


def test_a_model_of_one_class_is_measured():
    figures = clip_figures(TRUTH[:, :1], SCORES[:, :1], 0.5, ["a"])
    assert figures["micro_f1"] == figures["f1"] == pytest.approx(2 / 3)
    assert figures["mAP"] == figures["LRAP"] == 1


@pytest.mark.parametrize("shape", [(0, 3), (2, 3)])
def test_clips_that_cannot_be_measured_are_refused(shape):
    with pytest.raises(ValueError, match="same clips and classes"):
        clip_figures(np.zeros(shape, bool), SCORES[: shape[0], :2] if shape[0] else np.zeros(shape, np.float32))


@given(arrays(np.float32, st.tuples(st.integers(1, 40), st.integers(1, 4)), elements=st.floats(0, 1, width=32)))
def test_a_clip_scores_the_mean_of_its_windows_in_any_blocks(windows):
    whole = clip_scores(windows)
    assert whole.dtype == np.float32
    np.testing.assert_allclose(whole, windows.astype(np.float64).mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(whole, clip_scores(iter(np.array_split(windows, 3))), rtol=1e-6)


def test_a_clip_without_windows_has_no_score():
    with pytest.raises(ValueError, match="without windows"):
        clip_scores(np.zeros((0, 3), np.float32))
