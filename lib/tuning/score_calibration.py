"""How far scores are probabilities, and which scores to trust: Platt scaling, and thresholds of classes.

The fit is in lib.models.platt_scaling. An ensemble is not scaled: infer scales each model's scores and then takes the
mean, which is not what scaling the mean gives. Thresholds of an ensemble are for the mean of unscaled scores.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from lib.config.schema import Settings
from lib.core.errors import DataSetError, EarshotError, Problem
from lib.core.files import write_json
from lib.evaluation.metrics_plots import plot_calibration, save
from lib.evaluation.units import Units, segment_units
from lib.formats.data_sets import read_test_set
from lib.models.class_thresholds import choose_thresholds
from lib.models.description import Calibration, Description
from lib.models.platt_scaling import AS_IT_IS, apply_platt, fit_platt, undo_platt
from lib.results.results_store import ResultsStore
from lib.sound.classes import ClassList
from lib.sound.labels import RESULTS_FILE
from lib.testers.per_segment import PerSegmentTester
from lib.testers.tester_statistics import rates

MARGIN = 1e-4
"""How far below the lowest trusted score a threshold lies, at most."""


@dataclass(frozen=True)
class Calibrated:
    """A calibration, and how good it is.

    Args:
        calibration: Platt scaling, and thresholds (for scaled scores) of the classes that have one.
        wanted: the precision that each class shall have at its threshold, 0..1.
        classes: a table of class, positives (segments), threshold, and the precision and recall there; the last three
            are NaN for a class that no threshold makes that precise.
    """

    calibration: Calibration
    wanted: float
    classes: pd.DataFrame

    @property
    def problems(self) -> list[Problem]:
        """A problem for each class without a threshold."""
        problems = []
        for row in self.classes[self.classes["threshold"].isna()].to_dict("records"):
            fault = f"no threshold has a precision of {self.wanted:g} ({row['positives']} positive segments)"
            if not row["positives"]:
                fault = "is nowhere in the annotations, so it gets no threshold"
            problems.append(Problem(row["class"], fault, "infer.min_score applies to it"))
        return problems


def for_model(calibration: Calibration, description: Description) -> Calibration:
    """A calibration with classes under the model's names. Raises EarshotError if the model lacks one."""
    resolve, thresholds = ClassList(description.classes).resolve, {}
    for name, threshold in calibration.thresholds.items():
        if (class_name := resolve(name)) is None:
            raise EarshotError("the model", f"has no class {name!r}", "give --model the one that made the labels")
        thresholds[class_name] = threshold
    return calibration.model_copy(update={"thresholds": thresholds})


def fit_calibration(units: Units, precision: float, cutoff: float = 0.4, scale: bool = True) -> Calibrated:
    """Fit a scaling to the pairs of units and classes, and choose thresholds.

    Args:
        precision: that each class shall have at its threshold, 0..1.
        cutoff: the lowest score that is used for the scaling, 0..1.
        scale: False leaves scores as they are.

    Raises ValueError if there are too few scores to fit, or if scores fall where the truth rises.
    """
    pair = fit_platt(units.scores.ravel(), units.truth.ravel(), cutoff) if scale else AS_IT_IS
    if pair[0] <= 0:
        raise ValueError("scores do not rise with the truth")
    rows, thresholds = [], {}
    for column, lowest in enumerate(choose_thresholds(units.truth, units.scores, precision)):
        truth, scores = units.truth[:, [column]], units.scores[:, [column]]
        row = {"class": units.classes[column], "positives": int(truth.sum())}
        if np.isfinite(lowest):
            threshold = np.array([_just_below(scores, lowest)])
            rates_there = rates(truth, scores, threshold)
            row["threshold"] = thresholds[units.classes[column]] = float(apply_platt(threshold, *pair)[0])
            row |= {"precision": rates_there.class_precision[0, 0], "recall": rates_there.class_recall[0, 0]}
        rows.append(row)
    table = pd.DataFrame(rows, columns=["class", "positives", "threshold", "precision", "recall"])
    calibration = Calibration(coefficient=pair[0], intercept=pair[1], thresholds=thresholds)
    return Calibrated(calibration, precision, table)


def _just_below(scores: np.ndarray, score: float) -> float:
    """A threshold that the same scores reach, also when they are computed and scaled again and the last digits differ.

    It is halfway to the next lower score, but at most MARGIN below.
    """
    below = scores[scores < score].max(initial=0)
    return max((score + below) / 2, score - MARGIN)


class ScoreOrigin(NamedTuple):
    """Where the scores in a folder of labels come from.

    Args:
        models: how many models, 0 if that is unknown.
        scaling: coefficient and intercept of the Platt scaling that was applied to them.
    """

    models: int = 0
    scaling: tuple[float, float] = AS_IT_IS


def read_origin(folder: str | Path) -> ScoreOrigin:
    """Origin of a folder of labels, as far as its results store tells.

    Raises DataSetError if scores were changed in a way that cannot be undone.
    """
    if not (Path(folder) / RESULTS_FILE).is_file():
        return ScoreOrigin()
    with ResultsStore(folder) as store:
        manifest = store.manifest
    if manifest.occurrences or manifest.excluded:
        fault = "scores are lowered by the place, or those of some classes left out"
        raise DataSetError(folder, fault, "run infer without a place and without infer.exclude")
    pairs = list(manifest.scaling.values())
    if len(pairs) > 1 and set(pairs) != {AS_IT_IS}:
        remedy = "run infer with --scaling_coefficient 1 --scaling_intercept 0"
        raise DataSetError(folder, "scores are the mean of scaled scores of several models", remedy)
    return ScoreOrigin(len(pairs), *pairs[:1])


def read_units(
    labels: str, settings: Settings, annotations: str | None = None, recordings: str | None = None
) -> tuple[Units, ScoreOrigin, list[Problem]]:
    """Truth and unscaled scores of all segments of data.test, where the scores come from, and problems.

    Args:
        labels: folder that infer wrote; with annotations, one that a tester reads.
        annotations: instead of data.test, a CSV file as PerSegmentTester reads it.
        recordings: the folder that the annotations are about; None: the folder of the annotations.

    Raises DataSetError.
    """
    origin = read_origin(labels)
    if annotations:
        folder, min_seconds = recordings or str(Path(annotations).parent), settings.evaluate.min_seconds
        tester = PerSegmentTester(annotations, folder, labels, "", 0, min_seconds=min_seconds)
        units, problems = tester.units, tester.problems
    else:
        data_set = read_test_set(settings.data, settings.evaluate.min_seconds)
        with ResultsStore(labels) as store:
            blocks, problems = segment_units(data_set, store, settings.evaluate.min_seconds)
            units = blocks.whole()
        problems = [*data_set.problems, *problems]
    return replace(units, scores=undo_platt(units.scores, *origin.scaling)), origin, problems


def write_calibration(folder: str | Path, calibrated: Calibrated, units: Units) -> None:
    """Write calibration.json and a picture of the scaling into a folder."""
    folder, fitted = Path(folder), calibrated.calibration
    folder.mkdir(parents=True, exist_ok=True)
    figure = plot_calibration(units.truth.ravel(), units.scores.ravel(), fitted.coefficient, fitted.intercept)
    save(figure, folder / f"calibration-{fitted.coefficient:.2f}-{fitted.intercept:.2f}.png")
    pair = {"coefficient": fitted.coefficient, "intercept": fitted.intercept}
    write_json(folder / "calibration.json", {**pair, "precision": calibrated.wanted, "thresholds": fitted.thresholds})
