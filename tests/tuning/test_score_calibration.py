import json

import numpy as np
import pytest

from lib.config.schema import AudioSettings
from lib.core.errors import DataSetError, EarshotError
from lib.evaluation.units import Units
from lib.models.description import Calibration
from lib.models.platt_scaling import apply_platt
from lib.results.results_store import ResultsStore
from lib.tuning.score_calibration import ScoreOrigin, fit_calibration, for_model, read_origin, write_calibration
from tests.models.builders import describe
from tests.results.builders import make_manifest


def units(truth, scores, classes) -> Units:
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


@pytest.fixture(scope="module")
def three() -> Units:
    """Of three classes: a is precise from 0.8 on; b is never there; the highest scores of c are wrong."""
    scores = np.column_stack([np.arange(1, 11) / 10, np.full(10, 0.5), np.arange(1, 11) / 10])
    truth = np.column_stack([scores[:, 0] >= 0.75, np.zeros(10), scores[:, 2] < 0.35])
    return units(truth, scores, "abc")


def test_each_class_has_the_lowest_threshold_of_the_wanted_precision(three):
    calibrated = fit_calibration(three, precision=0.9, cutoff=0.1)
    table, fitted = calibrated.classes.set_index("class"), calibrated.calibration
    scaled = apply_platt(np.array([0.8], np.float32), fitted.coefficient, fitted.intercept)
    assert fitted.thresholds == pytest.approx({"a": scaled[0]}, abs=1e-3)
    assert table.at["a", "threshold"] == fitted.thresholds["a"] < scaled[0]
    assert table.loc["a", ["positives", "precision", "recall"]].tolist() == [3, 1, 1]
    assert table.loc[["b", "c"], ["threshold", "precision", "recall"]].isna().all(axis=None)
    assert [problem.subject for problem in calibrated.problems] == ["b", "c"]
    faults = [problem.fault for problem in calibrated.problems]
    assert "nowhere in the annotations" in faults[0] and "precision of 0.9 (3 positive segments)" in faults[1]


def test_too_few_scores_or_scores_that_fall_with_the_truth_are_refused(three):
    with pytest.raises(ValueError, match="scores"):
        fit_calibration(three, precision=0.9, cutoff=0.99)
    scores = np.linspace(0.05, 0.95, 40)
    upside_down = units((scores < 0.5)[:, None], scores[:, None], "a")
    with pytest.raises(ValueError, match="do not rise with the truth"):
        fit_calibration(upside_down, precision=0.9, cutoff=0.1)


def test_scores_of_an_ensemble_stay_as_they_are(three):
    fitted = fit_calibration(three, precision=0.9, scale=False).calibration
    assert (fitted.coefficient, fitted.intercept) == (1, 0)
    assert fitted.thresholds == pytest.approx({"a": 0.8}, abs=2e-4)


def test_scores_whose_last_digits_differ_reach_the_threshold_all_the_same():
    raw = np.array([0.8345666, 0.9, 0.95, 0.2, 0.3], np.float32)
    truth = np.array([1, 1, 1, 0, 0], bool)
    rounded = np.array([float(f"{score:.6g}") for score in raw])
    fitted = fit_calibration(units(truth[:, None], rounded[:, None], "a"), 1.0, scale=False).calibration
    assert ((raw >= np.float32(fitted.thresholds["a"])) == truth).all()


def test_model_stores_thresholds_under_its_own_names():
    model = describe(AudioSettings(), ["frog"])
    code = model.classes[0]["code"]
    stored = for_model(Calibration(coefficient=1.5, thresholds={code: 0.7}), model)
    assert stored == Calibration(coefficient=1.5, thresholds={"frog": 0.7}) and code != "frog"
    with pytest.raises(EarshotError, match="no class 'a'"):
        for_model(Calibration(thresholds={"a": 0.7}), model)


def test_calibration_is_written_as_json_with_a_picture(three, tmp_path):
    calibrated = fit_calibration(three, precision=0.9, cutoff=0.1)
    write_calibration(tmp_path, calibrated, three)
    content = json.loads((tmp_path / "calibration.json").read_text())
    fitted = calibrated.calibration
    assert content == fitted.model_dump() | {"precision": 0.9}
    (picture,) = tmp_path.glob("*.png")
    assert picture.name == f"calibration-{fitted.coefficient:.2f}-{fitted.intercept:.2f}.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


def write_store(folder, **manifest) -> None:
    with ResultsStore(folder, make_manifest(["a"], **manifest)) as store:
        store.commit()


def test_scaling_of_a_folder_is_what_its_store_says(tmp_path):
    assert read_origin(tmp_path) == ScoreOrigin(0, (1.0, 0.0))
    write_store(tmp_path, scaling={"1.pt": (1.5, -0.5)})
    assert read_origin(tmp_path) == ScoreOrigin(1, (1.5, -0.5))
    write_store(tmp_path, scaling={"1.pt": (1.0, 0.0), "2.pt": (1.0, 0.0)})
    assert read_origin(tmp_path) == ScoreOrigin(2, (1.0, 0.0))


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ({"scaling": {"1.pt": (1.5, -0.5), "2.pt": (1.0, 0.0)}}, "mean of scaled scores"),
        ({"scaling": {"1.pt": (1.5, -0.5), "2.pt": (1.5, -0.5)}}, "mean of scaled scores"),
        ({"occurrences": "3f2c"}, "run infer without a place"),
        ({"excluded": ["a"]}, "without infer.exclude"),
    ],
)
def test_scores_whose_scaling_cannot_be_undone_are_refused(tmp_path, manifest, message):
    write_store(tmp_path, **manifest)
    with pytest.raises(DataSetError, match=message):
        read_origin(tmp_path)
