"""How far scores are probabilities, and what scores to trust: Platt scaling and thresholds of classes, shown.

The fit is in lib.models.calibration. A reliability diagram has, for scores in equal bins of 0..1, how often the class
was there over the mean score (Niculescu-Mizil and Caruana, Predicting good probabilities with supervised learning,
2005); where scores are probabilities, it is the diagonal.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from matplotlib.figure import Figure

from lib.errors import DataSetError, EarshotError, Problem
from lib.evaluation.plots import BLUE, GREY, ORANGE
from lib.evaluation.tester_statistics import rates
from lib.evaluation.units import Units
from lib.models.calibration import apply_platt, choose_thresholds, fit_platt
from lib.models.description import Calibration, Description


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


def calibrate(units: Units, precision: float, cutoff: float = 0.4) -> Calibrated:
    """Fit scaling to the pairs of units and classes with scores of at least cutoff, and choose thresholds.

    precision: that each class shall have at its threshold, 0..1. Raises ValueError with too few scores for a fit.
    """
    coefficient, intercept = fit_platt(units.scores.ravel(), units.truth.ravel(), cutoff)
    scaled = apply_platt(units.scores, coefficient, intercept)
    thresholds = choose_thresholds(units.truth, scaled, precision)
    rows = []
    for column, threshold in enumerate(thresholds):
        truth, score = units.truth[:, column : column + 1], scaled[:, column : column + 1]
        here = rates(truth, score, np.array([threshold]))
        known = np.isfinite(threshold)
        found = (here.class_precision[0, 0], here.class_recall[0, 0]) if known else (np.nan, np.nan)
        rows.append((units.classes[column], int(truth.sum()), threshold, *found))
    table = pd.DataFrame(rows, columns=["class", "positives", "threshold", "precision", "recall"])
    return Calibrated(coefficient, intercept, table)


def label_scaling(folder: str | Path) -> tuple[float, float]:
    """Coefficient and intercept by which the scores in a folder of labels are scaled already; 1 and 0: they are not.

    Raises DataSetError where several models were scaled differently, which nothing can undo.
    """
    path = Path(folder) / "manifest.yaml"
    try:
        scaling = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("scaling") or {}
        pairs = {(float(coefficient), float(intercept)) for coefficient, intercept in scaling.values()}
    except FileNotFoundError:
        return 1.0, 0.0
    except (AttributeError, TypeError, ValueError, yaml.YAMLError):
        raise DataSetError(f"{path}: its scaling cannot be read; run inference again") from None
    if len(pairs) > 1:
        action = "run infer with --scaling_coefficient 1 --scaling_intercept 0"
        raise DataSetError(f"{path}: scores are the mean of models with different scalings; {action}")
    return next(iter(pairs), (1.0, 0.0))


def unscale(scores: np.ndarray, coefficient: float, intercept: float) -> np.ndarray:
    """Scores before a Platt scaling, of scaled ones; what has no score (0) keeps none."""
    return np.where(scores > 0, apply_platt(scores, 1 / coefficient, -intercept / coefficient), 0).astype(scores.dtype)


def reliability(truth: np.ndarray, scores: np.ndarray, n_bins: int = 15) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean score, share of truth and number (m,) of the samples (n,) in each of n_bins equal bins that has any."""
    scores = np.asarray(scores, dtype=np.float64).ravel()
    place = np.searchsorted(np.linspace(0, 1, n_bins + 1)[1:-1], scores)
    number = np.bincount(place, minlength=n_bins)
    used = number > 0
    sums = (np.bincount(place, weights=values, minlength=n_bins) for values in (scores, np.asarray(truth).ravel()))
    mean, share = (total[used] / number[used] for total in sums)
    return mean, share, number[used]


def plot_calibration(
    truth: np.ndarray, scores: np.ndarray, coefficient: float, intercept: float, n_bins: int = 15
) -> Figure:
    """Reliability of scores (n,) as they are and scaled, above the number of samples in each bin."""
    scores = np.asarray(scores).ravel()
    figure = Figure(figsize=(7, 7), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    above.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="scores that are probabilities")
    scaled = apply_platt(scores.astype(np.float64), coefficient, intercept)
    label = f"scaled (coefficient {coefficient:.2f}, intercept {intercept:.2f})"
    for values, color, name in ((scores, ORANGE, "as scored"), (scaled, BLUE, label)):
        mean, share, _ = reliability(truth, values, n_bins)
        above.plot(mean, share, marker="o", markersize=5, color=color, label=name)
        counts, edges = np.histogram(values, n_bins, (0, 1))
        below.stairs(counts, edges, color=color, linewidth=1.6)
    above.set(ylim=(-0.02, 1.02), ylabel="Share in which the class is there", title="Reliability of the scores")
    above.legend(loc="upper left")
    below.set(xlim=(-0.01, 1.01), xlabel="Score", ylabel="Pairs", yscale="log")
    for axes in (above, below):
        axes.grid(alpha=0.3)
    figure.align_ylabels()
    return figure
