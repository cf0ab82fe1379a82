import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.calibration import calibration_curve

from lib.config import Audio
from lib.errors import DataSetError, EarshotError
from lib.evaluation.calibration import Origin, calibrate, read_origin, unscale
from lib.evaluation.plots import plot_calibration, reliability
from lib.evaluation.units import Units
from lib.models.calibration import apply_platt
from lib.models.description import Calibration
from tests.evaluation.folders import write_manifest
from tests.models.builders import describe


def units(truth, scores, classes):
    n = len(truth)
    return Units(
        classes=list(classes),
        recordings=["r"],
        recording=np.zeros(n, dtype=np.int64),
        start_time=3.0 * np.arange(n),
        end_time=3.0 * np.arange(n) + 3,
        truth=np.array(truth, dtype=bool),
        scores=np.array(scores, dtype=np.float32),
        others=np.zeros(1, dtype=bool),
    )


def some_units():
    """a: precise from 0.8 on; b: never there; c: always wrong first."""
    scores = np.column_stack([np.arange(1, 11) / 10, np.full(10, 0.5), np.arange(1, 11) / 10])
    truth = np.column_stack([scores[:, 0] >= 0.75, np.zeros(10), scores[:, 2] < 0.35])
    return units(truth, scores, "abc")


def test_each_class_has_the_lowest_threshold_of_the_wanted_precision():
    found = calibrate(some_units(), precision=0.9, cutoff=0.1)
    table = found.classes.set_index("class")
    scaled = apply_platt(np.array([0.8], np.float32), found.coefficient, found.intercept)
    assert found.thresholds == pytest.approx({"a": scaled[0]}, abs=1e-3) and found.thresholds["a"] < scaled[0]
    assert table.loc["a", ["positives", "precision", "recall"]].tolist() == [3, 1, 1]
    assert table.loc[["b", "c"], ["threshold", "precision", "recall"]].isna().all(axis=None)


def test_classes_that_cannot_reach_the_precision_are_said_with_the_reason():
    problems = calibrate(some_units(), precision=0.9, cutoff=0.1).unreached(0.9)
    assert [problem.subject for problem in problems] == ["b", "c"]
    assert "nowhere in the annotations" in problems[0].reason and "precision of 0.9 (3 " in problems[1].reason


def test_too_few_scores_for_a_fit_are_a_value_error():
    with pytest.raises(ValueError, match="scores"):
        calibrate(some_units(), precision=0.9, cutoff=0.99)


def test_a_model_stores_thresholds_under_its_own_names():
    model = describe(Audio(), ["frog"])
    code = model.classes[0]["code"]
    calibrated = calibrate(some_units(), precision=0.9, cutoff=0.1)
    renamed = calibrated.classes.assign(**{"class": [code, "x", "y"]})
    stored = type(calibrated)(calibrated.coefficient, calibrated.intercept, renamed).for_model(model)
    assert list(stored.thresholds) == [model.class_names[0]] and stored.coefficient == calibrated.coefficient
    with pytest.raises(EarshotError, match="no class 'a'"):
        calibrated.for_model(model)


def test_a_scaling_is_undone():
    scores = np.array([0, 0.01, 0.5, 0.99], dtype=np.float32)
    scaled = np.where(scores > 0, apply_platt(scores, 1.7, -0.4), 0).astype(np.float32)
    np.testing.assert_allclose(unscale(scaled, 1.7, -0.4), scores, atol=1e-6)


def test_the_scaling_of_a_folder_is_what_its_manifest_says(tmp_path):
    assert read_origin(tmp_path) == Origin(0, 1, 0)
    write_manifest(tmp_path, ["a"])
    assert read_origin(tmp_path) == Origin(0, 1, 0)
    write_manifest(tmp_path, ["a"], scaling={"1.pt": [1.5, -0.5]}, occurrences=None, excluded=[])
    assert read_origin(tmp_path) == Origin(1, 1.5, -0.5)
    write_manifest(tmp_path, ["a"], scaling={"1.pt": [1.0, 0.0], "2.pt": [1.0, 0.0]})
    assert read_origin(tmp_path) == Origin(2, 1, 0)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"scaling": {"1.pt": [1.5, -0.5], "2.pt": [1.0, 0.0]}}, "mean of scaled scores"),
        ({"scaling": {"1.pt": [1.5, -0.5], "2.pt": [1.5, -0.5]}}, "mean of scaled scores"),
        ({"scaling": "odd"}, "cannot be read"),
        ({"occurrences": "3f2c"}, "run infer without a place"),
        ({"excluded": ["a"]}, "without infer.exclude"),
    ],
)
def test_scores_that_cannot_be_had_as_the_model_made_them_are_refused(tmp_path, entry, said):
    write_manifest(tmp_path, ["a"], **entry)
    with pytest.raises(DataSetError, match=said):
        read_origin(tmp_path)


def test_scores_that_fall_with_the_truth_are_refused():
    scores = np.linspace(0.05, 0.95, 40)
    upside_down = units((scores < 0.5)[:, None], scores[:, None], "a")
    with pytest.raises(ValueError, match="do not rise with the truth"):
        calibrate(upside_down, precision=0.9, cutoff=0.1)
    with pytest.raises(ValidationError):
        Calibration(coefficient=-0.5)


def test_of_an_ensemble_scores_stay_as_they_are():
    found = calibrate(some_units(), precision=0.9, scale=False)
    assert (found.coefficient, found.intercept) == (1, 0)
    assert found.thresholds == pytest.approx({"a": 0.8}, abs=2e-4)


def test_a_threshold_takes_scores_that_were_rounded_in_a_file():
    raw = np.array([0.8345666, 0.9, 0.95, 0.2, 0.3], np.float32)
    truth = np.array([1, 1, 1, 0, 0], bool)
    rounded = np.array([float(f"{score:.6g}") for score in raw])
    threshold = calibrate(units(truth[:, None], rounded[:, None], "a"), 1.0, scale=False).thresholds["a"]
    assert ((raw >= np.float32(threshold)) == truth).all()


@pytest.mark.parametrize("n_bins", [5, 15])
def test_reliability_is_that_of_scikit_learn(n_bins):
    rng = np.random.default_rng(1)
    scores = rng.random(500).round(2)
    truth = rng.random(500) < scores
    mean, share, number = reliability(truth, scores, n_bins)
    their_share, their_mean = calibration_curve(truth, scores, n_bins=n_bins)
    np.testing.assert_allclose(share, their_share)
    np.testing.assert_allclose(mean, their_mean)
    assert number.sum() == 500


def test_a_plot_shows_scores_as_they_are_and_scaled():
    rng = np.random.default_rng(1)
    scores = rng.random(200)
    figure = plot_calibration(rng.random(200) < scores, scores, 2.0, 0.5)
    above, below = figure.axes
    assert len(above.lines) == 3 and len(below.patches) == 2
