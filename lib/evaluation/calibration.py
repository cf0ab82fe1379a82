"""How far scores are probabilities, and what scores to trust: Platt scaling and thresholds of classes, shown.

The fit is in lib.models.calibration. Of an ensemble there is none: infer scales each model's scores and then takes the
mean, which is not what scaling the mean gives. Thresholds of an ensemble are of the mean of scores as they are.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from lib.config import Settings
from lib.datasets.contents import read_data_set
from lib.errors import DataSetError, EarshotError, Problem
from lib.evaluation.per_segment import PerSegmentTester
from lib.evaluation.predictions import read_manifest, read_predictions
from lib.evaluation.tester_statistics import rates
from lib.evaluation.units import Units, segment_units
from lib.inference.scaling import AS_IT_IS
from lib.models.calibration import apply_platt, choose_thresholds, fit_platt
from lib.models.description import Calibration, Description

HAIR = 1e-4
"""How far below a score a threshold may be that takes it."""


@dataclass(frozen=True)
class Calibrated:
    """Platt scaling, and a table of class, positives, threshold (of scaled scores), and its precision and recall.

    Where no threshold has the wanted precision, the last three are NaN.
    """

    coefficient: float
    intercept: float
    classes: pd.DataFrame

    @property
    def thresholds(self) -> dict[str, float]:
        """Thresholds of the classes that have one."""
        known = self.classes.dropna(subset=["threshold"])
        return dict(zip(known["class"], known["threshold"].astype(float), strict=True))

    def unreached(self, precision: float) -> list[Problem]:
        """A problem for each class without a threshold. precision: the wanted one."""
        problems = []
        for row in self.classes[self.classes["threshold"].isna()].itertuples():
            reason = f"no threshold has a precision of {precision:g} ({row.positives} positive segments)"
            if not row.positives:
                reason = "is nowhere in the annotations, so it gets no threshold"
            problems.append(Problem(str(row[1]), reason, "infer.min_score applies to it"))
        return problems

    def for_model(self, description: Description) -> Calibration:
        """As a model stores it: classes under the model's names. Raises EarshotError if the model lacks one."""
        names = {
            label: entry["name"]
            for field in ("alt_code", "alt_name", "code", "name")  # of equal ones the name is meant
            for entry in description.classes
            if (label := entry.get(field))
        }
        if missing := [name for name in self.thresholds if name not in names]:
            raise EarshotError(f"the model has no class {missing[0]!r}; give --model the one that made the labels")
        thresholds = {names[name]: threshold for name, threshold in self.thresholds.items()}
        return Calibration(coefficient=self.coefficient, intercept=self.intercept, thresholds=thresholds)


def calibrate(units: Units, precision: float, cutoff: float = 0.4, scale: bool = True) -> Calibrated:
    """Fit scaling to the pairs of units and classes with scores of at least cutoff, and choose thresholds.

    precision: that each class shall have at its threshold, 0..1. scale: False leaves scores as they are. Raises
    ValueError with too few scores for a fit, or where it would turn them upside down.
    """
    pair = fit_platt(units.scores.ravel(), units.truth.ravel(), cutoff) if scale else AS_IT_IS
    if pair[0] <= 0:
        raise ValueError("scores do not rise with the truth")
    rows = []
    for column, lowest in enumerate(choose_thresholds(units.truth, units.scores, precision)):
        name, truth, scores = units.classes[column], units.truth[:, [column]], units.scores[:, [column]]
        found = [np.nan] * 3
        if np.isfinite(lowest):
            at = _just_below(scores, lowest)
            here = rates(truth, scores, np.array([at]))
            found = [apply_platt(np.array([at]), *pair)[0], here.class_precision[0, 0], here.class_recall[0, 0]]
        rows.append((name, int(truth.sum()), *found))
    return Calibrated(*pair, pd.DataFrame(rows, columns=["class", "positives", "threshold", "precision", "recall"]))


def _just_below(scores: np.ndarray, score: float) -> float:
    """A threshold that takes the same scores: they are rounded in files, which must not bring any below it."""
    below = scores[scores < score].max(initial=0)
    return max((score + below) / 2, score - HAIR)


@dataclass(frozen=True)
class Origin:
    """Where the scores in a folder of labels come from: how many models, 0 if that is unknown, and by which Platt
    scaling they are scaled already; 1 and 0: they are not.
    """

    models: int
    coefficient: float
    intercept: float

    @property
    def scaled(self) -> bool:
        return (self.coefficient, self.intercept) != AS_IT_IS


def read_origin(folder: str | Path) -> Origin:
    """Origin of a folder of labels, by its manifest.yaml, if there is one.

    Raises DataSetError where scores were changed in a way that cannot be undone.
    """
    manifest, path = read_manifest(folder), Path(folder) / "manifest.yaml"
    if manifest.get("occurrences") or manifest.get("excluded"):
        fault = "scores are lowered by the place, or those of some classes left out"
        raise DataSetError(f"{path}: {fault}; run infer without a place and without infer.exclude")
    try:
        scaling = (manifest.get("scaling") or {}).values()
        pairs = [(float(coefficient), float(intercept)) for coefficient, intercept in scaling]
    except (AttributeError, TypeError, ValueError):
        raise DataSetError(f"{path}: its scaling cannot be read; run inference again") from None
    if len(pairs) > 1 and set(pairs) != {AS_IT_IS}:
        action = "run infer with --scaling_coefficient 1 --scaling_intercept 0"
        raise DataSetError(f"{path}: scores are the mean of scaled scores of several models; {action}")
    return Origin(len(pairs), *(pairs or [AS_IT_IS])[0])


def read_units(
    labels: str, settings: Settings, annotations: str | None = None, recordings: str | None = None
) -> tuple[Units, Origin, list[Problem]]:
    """Truth and unscaled scores of all segments of data.test, where the scores come from, and problems.

    labels: folder. annotations: instead of data.test, a CSV file as PerSegmentTester reads it; recordings: the folder
    that it is about, by default its own. Raises DataSetError.
    """
    origin = read_origin(labels)
    if annotations:
        tester = PerSegmentTester(annotations, recordings or str(Path(annotations).parent), labels, "", 0)
        units, problems = tester.units, tester.problems
    else:
        contents = read_data_set(settings.data.test)
        units, problems = segment_units(contents, read_predictions(labels), settings.evaluate.min_seconds)
        problems = [*contents.problems, *problems]
    return replace(units, scores=unscale(units.scores, origin.coefficient, origin.intercept)), origin, problems


def unscale(scores: np.ndarray, coefficient: float, intercept: float) -> np.ndarray:
    """Scores before a Platt scaling, of scaled ones; what has no score (0) keeps none."""
    if (coefficient, intercept) == AS_IT_IS:
        return scores
    return np.where(scores > 0, apply_platt(scores, 1 / coefficient, -intercept / coefficient), 0).astype(scores.dtype)
