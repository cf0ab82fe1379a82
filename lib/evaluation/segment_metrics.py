"""Everything that is measured on units: figures with intervals, tables by class, recording and threshold, curves.

Conventions:

- Micro averages pool all pairs of a unit and a class. A class of the model that never occurs in the test set counts
  there: what is found of it is false. A class that only the test set knows does not: no model can find it.
- Macro averages are means over the classes with at least one positive and one negative unit; in a bootstrap draw, over
  those that have both in the draw.
- The best threshold is the one of 0.01, 0.02, ... 1.00 with the best F1, the lowest of equals. It is chosen on the test
  set itself, so best_f1 is an upper bound; for its interval it is chosen again in each draw.
- Accuracy is given if each recording holds exactly one class: the share of recordings whose class has the highest mean
  score over the recording's units. Recordings of a class unknown to the model are left out.
- A figure that is undefined is left out of `Results.figures`; in tables it is NaN, an empty cell in CSV.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lib.evaluation import intervals, metrics
from lib.evaluation.ranked_pairs import CurvePoints, RankedPairs
from lib.evaluation.segment_tallies import (
    Confusion,
    ConfusionTally,
    ErrorTally,
    RecordingTally,
    ScoreTally,
    ThresholdTally,
)
from lib.evaluation.units import UnitBlocks

THRESHOLDS = np.arange(1, 101) / 100
CURVE_POINTS = 500


@dataclass(frozen=True)
class Curve:
    """Precision-recall and ROC curve of a ranking: float (g,) each, by falling threshold, at most CURVE_POINTS."""

    threshold: np.ndarray
    recall: np.ndarray
    precision: np.ndarray
    fpr: np.ndarray


@dataclass(frozen=True)
class Results:
    """What `measure` returns.

    Args:
        figures: name -> number, no NaN: metrics with their intervals (see lib.evaluation.intervals), and counts.
        threshold: at which precision, recall and F1 are.
        classes, thresholds, recordings, errors: tables as in their CSV files.
        micro: curve of all pairs; None: it is undefined.
        curves: class name -> curve, for classes with positive and negative units.
        confusion: of segments or recordings.
        scores: numbers of scores in equal bins of 0..1, where a class is present and where it is absent.
        example: the recording with the most classes; of equals, with the most positive pairs, then the first by name.
    """

    figures: dict[str, float]
    threshold: float
    classes: pd.DataFrame
    thresholds: pd.DataFrame
    recordings: pd.DataFrame
    errors: pd.DataFrame
    micro: Curve | None
    curves: dict[str, Curve]
    confusion: Confusion
    scores: tuple[np.ndarray, np.ndarray]
    example: str


def measure(
    units: UnitBlocks, threshold: float = 0.5, resamples: int = 200, seed: int = 1, scratch: str | Path | None = None
) -> Results:
    """All metrics of units.

    Args:
        units: truth and scores; they are read once.
        threshold: score from which a class counts as found, 0..1.
        resamples: bootstrap draws of the recordings for the 95 % intervals; 0: none.
        seed: of the draws.
        scratch: folder with room for the scores if there are many, see RankedPairs.
    """
    n_recordings, n_classes = len(units.recordings), len(units.classes)
    weights = intervals.draw(n_recordings, resamples, seed)
    pairs, recordings, scores = RankedPairs(scratch), RecordingTally(units), ScoreTally()
    at_threshold, at_all = (ThresholdTally(units, at, weights) for at in (np.array([threshold]), THRESHOLDS))
    confusion, errors = ConfusionTally(units, threshold), ErrorTally(units, threshold)
    for block in units.blocks():
        pairs.add(block.truth, block.scores, block.recording, pooled=True)
        recordings.add(block, at_threshold.add(block))
        at_all.add(block)
        for tally in (confusion, errors, scores):
            tally.add(block)

    *of_classes, micro = pairs.areas(n_classes + 1, weights, CURVE_POINTS - 1)
    pr_areas, roc_areas = (np.stack([getattr(each, name) for each in of_classes]) for name in ("pr_auc", "roc_auc"))
    samples = {
        "macro_pr": _mean(pr_areas),
        "macro_roc": _mean(roc_areas),
        "micro_pr": micro.pr_auc,
        "micro_roc": micro.roc_auc,
    }
    samples |= {name: getattr(at_threshold.drawn, name)[:, 0] for name in ("precision", "recall", "f1")}
    samples["best_f1"] = at_all.drawn.f1.max(axis=1)
    has_class = recordings.n_present > 0
    is_single = bool((recordings.n_present + units.others == 1).all() and has_class.any())
    if is_single:
        n_right, n_counted = (weights @ each.astype(float) for each in (recordings.is_right, has_class))
        samples["accuracy"] = metrics.ratio(n_right, n_counted)
    figures = intervals.figures(samples)
    if "best_f1" in figures:
        figures["best_threshold"] = float(THRESHOLDS[at_all.drawn.f1[0].argmax()])
    figures |= {
        "n_recordings": n_recordings,
        "n_segments": int(recordings.segments.sum()),
        "n_classes": n_classes,
        "n_classes_tested": int(np.isfinite(pr_areas[:, 0]).sum()),
    }
    return Results(
        figures=figures,
        threshold=threshold,
        classes=_class_table(units, pr_areas, roc_areas, at_threshold.by_class, at_all.by_class),
        thresholds=pd.DataFrame(
            {"threshold": THRESHOLDS} | {name: getattr(at_all.drawn, name)[0] for name in ("precision", "recall", "f1")}
        ),
        recordings=_recording_table(units, recordings),
        errors=errors.table(),
        micro=_curve(micro.points) if np.isfinite(micro.roc_auc[0]) else None,
        curves={
            name: _curve(each.points)
            for name, each in zip(units.classes, of_classes, strict=True)
            if np.isfinite(each.roc_auc[0])
        },
        confusion=recordings.confusion(units.classes) if is_single else confusion.confusion(),
        scores=(scores.present, scores.absent),
        example=units.recordings[int(np.lexsort((-recordings.positives, -recordings.n_present))[0])],
    )


def _mean(areas: np.ndarray) -> np.ndarray:
    """Mean over classes (draws,) of areas (classes, draws), without NaN; NaN where nothing else is there."""
    return np.ma.masked_invalid(areas).mean(axis=0).filled(np.nan)


def _class_table(
    units: UnitBlocks, pr_areas: np.ndarray, roc_areas: np.ndarray, here: metrics.Counts, grid: metrics.Counts
) -> pd.DataFrame:
    low, high = intervals.bounds(pr_areas).T
    f1 = np.nan_to_num(grid.f1)
    tested = here.positives[:, 0] > 0
    return pd.DataFrame(
        {
            "class": units.classes,
            "positives": here.positives[:, 0].astype(int),
            "pr_auc": pr_areas[:, 0],
            "pr_auc_low": low,
            "pr_auc_high": high,
            "roc_auc": roc_areas[:, 0],
            "precision": here.precision[:, 0],
            "recall": here.recall[:, 0],
            "f1": here.f1[:, 0],
            "best_threshold": np.where(tested, THRESHOLDS[f1.argmax(axis=1)], np.nan),
            "best_f1": np.where(tested, f1.max(axis=1), np.nan),
        }
    )


def _recording_table(units: UnitBlocks, tally: RecordingTally) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "recording": units.recordings,
            "segments": tally.segments,
            "tp": tally.tp,
            "fp": tally.fp,
            "fn": tally.positives - tally.tp,
            "classes": tally.names,
        }
    )


def _curve(points: CurvePoints) -> Curve:
    threshold, tp, fp = points
    return Curve(
        threshold=np.append(1.0, threshold),
        recall=np.append(0.0, tp / tp[-1]),
        precision=np.append(1.0, tp / (tp + fp)),  # scikit-learn's convention for recall 0
        fpr=np.append(0.0, fp / fp[-1]),
    )
