"""How precise a model's scores are, from detections that people checked, and the score from which on to trust them.

The probability that a detection is right rises with the logit of its score: a logistic regression (Wood and Kahl,
Guidelines for appropriate use of BirdNET scores and other detector outputs, 2024), here with Platt's targets. The
precision from a score on is the mean probability of all detections from there on, checked or not, so a sample that is
spread evenly over the scores (see lib.curation.suggestions.verification) does not distort it. Intervals of 95 %: of a
band Wilson's (Probable Inference, 1927), of thresholds a bootstrap over recordings (lib.evaluation.intervals).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lib.config.schema import Settings
from lib.curation.chosen_sounds import SLACK, Choice, ChosenSound, found_sounds, named_in_data_sets
from lib.curation.score_bands import BANDS, score_band
from lib.evaluation.intervals import bounds, draw
from lib.formats.data_sets import read_test_set, read_training_set
from lib.models.platt_scaling import FEWEST, apply_platt, fit_platt
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


def _verdicts(sounds: Sequence[ChosenSound], decisions: pd.DataFrame, classes: ClassList) -> np.ndarray:
    """Of each detection, what the last decision says that covers more than half of it: windows may overlap by half."""
    resolve = {label: classes.resolve(label) or label for label in {*decisions["class"], *decisions["new_class"]}}
    starts, ends = (np.array([getattr(sound, name) for sound in sounds], float) for name in ("start_time", "end_time"))
    names = np.array([sound.class_name for sound in sounds], object)
    of_recording: dict[str, list[int]] = {}
    for number, sound in enumerate(sounds):
        of_recording.setdefault(sound.recording, []).append(number)
    numbers = {recording: np.array(found) for recording, found in of_recording.items()}
    verdicts = np.full(len(sounds), np.nan)
    columns = ["recording", "start_time", "end_time", "class", "decision", "new_class"]
    for recording, start, end, label, decision, new_label in decisions[columns].itertuples(index=False):
        if (there := numbers.get(recording)) is None:
            continue
        shared = np.minimum(ends[there], end) - np.maximum(starts[there], start)
        covered = there[shared > (ends[there] - starts[there]) / 2 + SLACK]
        old, new = resolve[label], resolve[new_label]
        present = {"accept": old, "reject": "", "relabel": new}[decision]
        if old != present:
            verdicts[covered[names[covered] == old]] = 0.0
        verdicts[covered[names[covered] == present]] = 1.0
    return verdicts


def verified_precision(
    checked: CheckedDetections, wanted: float, draws: int = DRAWS, seed: int = 1
) -> VerifiedPrecision:
    """Precision by score, and the lowest score from which on detections have the wanted precision, 0..1."""
    from threadpoolctl import threadpool_limits

    bands, ordered = _bands(checked), np.sort(checked.scores)[::-1]
    try:
        threshold = _threshold(ordered, checked, np.ones(int(checked.is_checked.sum()), int), wanted)
    except ValueError as error:
        return VerifiedPrecision(bands, np.nan, np.nan, np.nan, str(error))
    if threshold >= UNREACHED:
        return VerifiedPrecision(bands, np.nan, np.nan, np.nan, f"no score has a precision of {wanted:g}")
    _, recordings = np.unique(checked.recordings[checked.is_checked], return_inverse=True)
    samples = []
    with threadpool_limits(1):  # of tiny fits, threads that wait for each other take most of the time
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
    if len(chosen) < FEWEST:
        raise ValueError(f"only {len(chosen)} checked, at least {FEWEST} are needed")
    is_right = checked.verdicts[chosen] > 0.5
    if len(np.unique(is_right)) == 1:
        raise ValueError(f"all {len(chosen)} checked ones are {'right' if is_right[0] else 'wrong'}, both are needed")
    coefficient, intercept = fit_platt(checked.scores[chosen], is_right)
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
