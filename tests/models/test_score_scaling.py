import numpy as np
import pytest
from scipy.special import expit, logit

from lib.config.schema import InferSettings
from lib.models.description import Calibration
from lib.models.score_scaling import min_scores, scaling_of
from tests.models.builders import describe
from tests.training_data.builders import AUDIO

STORED = describe(AUDIO, calibration=Calibration(coefficient=2.0, intercept=-1.0, thresholds={"b": 0.7}))
PLAIN = describe(AUDIO)


def test_settings_go_before_what_is_stored_with_the_model():
    assert scaling_of(InferSettings(), PLAIN) == (1.0, 0.0)
    assert scaling_of(InferSettings(), STORED) == (2.0, -1.0)
    assert scaling_of(InferSettings(scaling_coefficient=0.5, scaling_intercept=0.1), STORED) == (0.5, 0.1)
    assert scaling_of(InferSettings(scaling_coefficient=0.5), STORED) == (0.5, 0.0)
    assert scaling_of(InferSettings(scaling_intercept=0.1), STORED) == (1.0, 0.1)


def test_stored_thresholds_replace_min_score_where_they_are():
    np.testing.assert_allclose(min_scores(InferSettings(min_score=0.4), [STORED]), [0.4, 0.7, 0.4], atol=2e-6)
    np.testing.assert_allclose(
        min_scores(InferSettings(min_score=0.4, class_thresholds=False), [STORED]), 0.4, atol=2e-6
    )
    np.testing.assert_allclose(min_scores(InferSettings(min_score=0.4), [PLAIN, STORED]), [0.4, 0.7, 0.4], atol=2e-6)


def test_an_ensemble_takes_the_mean_of_its_thresholds():
    other = describe(AUDIO, calibration=Calibration(thresholds={"b": 0.5, "c": 0.9}))
    np.testing.assert_allclose(min_scores(InferSettings(), [STORED, other]), [0.5, 0.6, 0.9], atol=2e-6)


def test_thresholds_move_along_with_another_scaling():
    infer = InferSettings(scaling_coefficient=3.0, scaling_intercept=0.5)
    raw = (logit(0.7) + 1.0) / 2.0  # of the score that the stored scaling brings to the threshold
    assert min_scores(infer, [STORED])[1] == pytest.approx(expit(3.0 * raw + 0.5), abs=2e-6)


def test_a_score_that_differs_in_its_last_digits_is_labelled_all_the_same():
    threshold = min_scores(InferSettings(min_score=0.5), [PLAIN])
    assert (np.float32(0.5 - 7e-7) >= threshold).all() and not (np.float32(0.5 - 3e-6) >= threshold).any()
