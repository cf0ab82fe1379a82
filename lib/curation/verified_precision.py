"""How precise a model's scores are, from detections that people checked, and the score from which on to trust them.

The probability that a detection is right rises with the logit of its score: a logistic regression (Wood and Kahl,
Guidelines for appropriate use of BirdNET scores and other detector outputs, 2024), here with Platt's targets. The
precision from a score on is the mean probability of all detections from there on, checked or not, so a sample that is
spread evenly over the scores (see lib.curation.suggestions.verification) does not distort it. Intervals of 95 %: of a
band Wilson's (Probable Inference, 1927), of thresholds a bootstrap over recordings (lib.evaluation.intervals).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lib.config.schema import Settings
from lib.curation.chosen_sounds import SLACK, Choice, ChosenSound, found_sounds, named_in_data_sets
from lib.curation.score_bands import BANDS, score_band
from lib.evaluation.intervals import bounds, draw
from lib.formats.data_sets import read_test_set, read_training_set
from lib.models.platt_scaling import apply_platt, fit_platt
from lib.results.results_store import ResultsStore
from lib.sound.classes import ClassList

DRAWS = 200
BAND_COLUMNS = ["from", "to", "detections", "checked", "right", "precision", "low", "high"]
UNREACHED = 1.0
"""Threshold in a draw of the bootstrap in which no score is precise enough."""


@dataclass(frozen=True)
class CheckedDetections:
    """All detections of a class.

    Args:
        class_name: the class.
        scores: float (n,), 0..1.
        verdicts: float (n,): 1 right, 0 wrong, NaN nobody checked it.
        recordings: int (n,), of which recording each is.
    """

    class_name: str
    scores: np.ndarray
    verdicts: np.ndarray
    recordings: np.ndarray

    @property
    def is_checked(self) -> np.ndarray:
        return ~np.isnan(self.verdicts)


@dataclass(frozen=True)
class VerifiedPrecision:
    """What checked detections say about a class.

    Args:
        bands: table of BAND_COLUMNS, the bands that have detections.
        threshold: score from which on detections have the wanted precision; NaN: none, or unknown.
        low, high: its 95 % interval; NaN: unknown.
        fault: why the threshold is unknown, in words; "": it is known.
    """

    bands: pd.DataFrame
    threshold: float
    low: float
    high: float
    fault: str


def read_checked(labels: str, class_name: str, settings: Settings, decisions: pd.DataFrame) -> CheckedDetections:
    """The detections of a class in infer's results, and what was decided about them.

    decisions: the decisions table. Raises DataSetError if there are no results, SettingsError if the model has no such
    class, EarshotError as named_in_data_sets.
    """
    with ResultsStore(labels) as store:
        classes = store.manifest.class_list
    data_sets = read_training_set(settings.data), read_test_set(settings.data)
    sounds = list(named_in_data_sets(found_sounds(Choice(class_name, labels)), data_sets))
    verdicts = _verdicts(sounds, decisions, classes)
    _, recordings = np.unique([sound.recording for sound in sounds], return_inverse=True)
    scores = np.array([sound.score for sound in sounds], float)
    return CheckedDetections(classes.resolve(class_name) or class_name, scores, verdicts, recordings)


def _verdicts(sounds: Iterable[ChosenSound], decisions: pd.DataFrame, classes: ClassList) -> np.ndarray:
    """Of each detection, what the last decision says that covers more than half of it: windows may overlap by half."""
    resolve = {label: classes.resolve(label) or label for label in {*decisions["class"], *decisions["new_class"]}}
    stretches: dict[str, list[tuple[float, float, str, str]]] = {}
    columns = ["recording", "start_time", "end_time", "class", "decision", "new_class"]
    for recording, start, end, label, decision, new_label in decisions[columns].itertuples(index=False):
        old, new = resolve[label], resolve[new_label]
        there = {"accept": old, "reject": "", "relabel": new}[decision]
        absent = old if old != there else ""
        stretches.setdefault(recording, []).append((start, end, there, absent))
    verdicts = []
    for sound in sounds:
        verdict = np.nan
        for start, end, there, absent in stretches.get(sound.recording, ()):
            shared = min(sound.end_time, end) - max(sound.start_time, start)
            if shared > (sound.end_time - sound.start_time) / 2 + SLACK and sound.class_name in (there, absent):
                verdict = float(sound.class_name == there)
        verdicts.append(verdict)
    return np.array(verdicts, float)


def verified_precision(
    checked: CheckedDetections, wanted: float, draws: int = DRAWS, seed: int = 1
) -> VerifiedPrecision:
    """Precision by score, and the lowest score from which on detections have the wanted precision, 0..1."""
    bands, ordered = _bands(checked), np.sort(checked.scores)[::-1]
    try:
        threshold = _threshold(ordered, checked, np.ones(int(checked.is_checked.sum()), int), wanted)
    except ValueError as error:
        return VerifiedPrecision(bands, np.nan, np.nan, np.nan, str(error))
    if threshold >= UNREACHED:
        return VerifiedPrecision(bands, np.nan, np.nan, np.nan, f"no score has a precision of {wanted:g}")
    _, recordings = np.unique(checked.recordings[checked.is_checked], return_inverse=True)
    samples = []
    for weights in draw(int(recordings.max()) + 1, draws, seed):
        try:
            samples.append(_threshold(ordered, checked, weights[recordings].astype(int), wanted))
        except ValueError:  # only right or only wrong ones in this draw
            samples.append(np.nan)
    low, high = bounds(np.array([samples]))[0]
    return VerifiedPrecision(bands, threshold, float(low), float(high), "")


def _threshold(ordered: np.ndarray, checked: CheckedDetections, weights: np.ndarray, wanted: float) -> float:
    """The lowest of scores, in descending order, from which on all together are as precise as wanted.

    weights: how often each checked detection counts, int (n_checked,). Raises ValueError if they
    are too few, or do not say how precision rises.
    """
    chosen = np.repeat(np.flatnonzero(checked.is_checked), weights)
    coefficient, intercept = fit_platt(checked.scores[chosen], checked.verdicts[chosen] > 0.5)
    if coefficient <= 0:
        raise ValueError("higher scores are not right more often")
    precision = np.cumsum(apply_platt(ordered, coefficient, intercept)) / np.arange(1, len(ordered) + 1)
    reached = np.flatnonzero(precision >= wanted)
    return float(ordered[reached[-1]]) if len(reached) else UNREACHED


def _bands(checked: CheckedDetections) -> pd.DataFrame:
    from scipy.stats import binomtest

    band, rows = np.array([score_band(score) for score in checked.scores], int), []
    for number in np.unique(band):
        verdicts = checked.verdicts[(band == number) & checked.is_checked]
        n, right = len(verdicts), int(verdicts.sum())
        interval = binomtest(right, n).proportion_ci(method="wilson") if n else (np.nan, np.nan)
        counts = int((band == number).sum()), n, right
        rows.append([number / BANDS, (number + 1) / BANDS, *counts, right / n if n else np.nan, *interval])
    return pd.DataFrame(rows, columns=BAND_COLUMNS)
