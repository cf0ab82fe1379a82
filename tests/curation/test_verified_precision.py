import re

import numpy as np
import pandas as pd
import pytest

from lib.curation.chosen_sounds import ChosenSound
from lib.curation.verified_precision import CheckedDetections, _verdicts, verified_precision
from lib.sound.classes import ClassList
from lib.sound.decisions import DECISION_COLUMNS

CLASSES = ClassList([{"name": "Wren", "code": "W"}, {"name": "Robin", "code": "R"}])


def checked(scores, verdicts, recordings=None) -> CheckedDetections:
    n = len(scores)
    places = np.arange(n) % 10 if recordings is None else recordings
    return CheckedDetections("Wren", np.array(scores, float), np.array(verdicts, float), places)


def test_bands_count_what_was_checked_with_wilsons_interval():
    bands = verified_precision(checked([0.55] * 10 + [0.95], [1] * 8 + [0] * 2 + [np.nan]), 0.9).bands
    assert bands[["detections", "checked", "right"]].to_numpy().tolist() == [[10, 10, 8], [1, 0, 0]]
    # Wilson for 8 of 10: (0.8 + 1.96²/20 ± 1.96 sqrt(0.016 + 1.96²/400)) / (1 + 1.96²/10)
    assert bands.loc[0, ["precision", "low", "high"]].tolist() == pytest.approx([0.8, 0.4902, 0.9433], abs=1e-3)
    assert np.isnan(bands.loc[1, "precision"])


@pytest.mark.parametrize("wanted", [0.7, 0.9])
def test_the_threshold_is_that_of_all_detections_though_an_even_sample_was_checked(wanted):
    rng = np.random.default_rng(1)
    scores = rng.beta(1, 3, 6_000) * 0.98 + 0.01
    truth = rng.random(len(scores)) < 1 / (1 + np.exp(-2 * np.log(scores / (1 - scores)) - 1))
    verdicts = np.full(len(scores), np.nan)
    for low in np.arange(0, 1, 0.1):
        band = np.flatnonzero((scores >= low) & (scores < low + 0.1))
        verdicts[band[:100]] = truth[band[:100]]
    found = verified_precision(checked(scores, verdicts, np.arange(len(scores)) % 50), wanted, draws=40)
    assert truth[scores >= found.threshold].mean() == pytest.approx(wanted, abs=0.05)
    assert found.low < found.threshold < found.high < found.low + 0.3


@pytest.mark.parametrize(
    ("scores", "verdicts", "fault"),
    [
        ([0.5, 0.9], [1, 0], "only 2 checked, at least 10"),
        ([0.6] * 20, [1] * 20, "all 20 checked ones are right"),
        (np.linspace(0.1, 0.9, 20), [1] * 10 + [0] * 10, "not right more often"),
        (np.linspace(0.1, 0.5, 20), [0] * 18 + [1, 0], "no score has a precision of 0.99"),
    ],
)
def test_too_few_or_contrary_decisions_give_no_threshold_but_a_reason(scores, verdicts, fault):
    found = verified_precision(checked(scores, verdicts), 0.99)
    assert np.isnan(found.threshold)
    assert re.search(fault, found.fault)


def test_the_last_decision_about_half_of_a_detection_is_its_verdict():
    rows = [
        ("a", 0, 3, "Wren", "accept", ""),
        ("a", 3, 6, "W", "reject", ""),
        ("a", 6, 9, "Wren", "relabel", "Robin"),
        ("a", 9, 12, "Robin", "relabel", "Wren"),
        ("a", 12, 15, "Wren", "accept", ""),
        ("a", 12, 15, "Wren", "reject", ""),
        ("a", 15, 16, "Wren", "reject", ""),
        ("b", 0, np.inf, "Wren", "accept", ""),
        ("a", 18, 21, "Robin", "accept", ""),
    ]
    decisions = pd.DataFrame(rows, columns=[*DECISION_COLUMNS[:6]])
    sounds = [ChosenSound("a", None, start, start + 3, "Wren", 0.5) for start in (0, 3, 6, 9, 12, 15, 18)]
    sounds.append(ChosenSound("b", None, 5, 8, "Wren", 0.5))
    verdicts = _verdicts(sounds, decisions, CLASSES)
    np.testing.assert_array_equal(verdicts, [1, 0, 0, 1, 0, np.nan, np.nan, 1])
