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

import numpy as np
import pandas as pd

from lib.evaluation import intervals, metrics
from lib.evaluation.units import Units, joined_names

THRESHOLDS = np.arange(1, 101) / 100
CURVE_POINTS = 500
ERRORS = 100
"""Of each kind in the table of errors."""
BACKGROUND, NONE = "(background)", "(none)"


@dataclass(frozen=True)
class Curve:
    """Precision-recall and ROC curve of a ranking: float (g,) each, by falling threshold, at most CURVE_POINTS."""

    threshold: np.ndarray
    recall: np.ndarray
    precision: np.ndarray
    fpr: np.ndarray


@dataclass(frozen=True)
class Confusion:
    """What was found where a class is present.

    If each recording holds one class (`by` is `recording`): rows are true classes, columns the classes with the highest
    mean score. Otherwise (`by` is `segment`): rows are the segments that hold a class, and those that hold none
    (`(background)`); columns say in how many of them a class was found at the threshold. Off the diagonal only false
    ones count, those of segments that do not hold the column's class; `(none)` counts segments in which nothing was
    found. As a segment may hold and find several classes, rows need not add up to their totals.

    Args:
        rows, columns: names.
        counts: (rows, columns).
        totals: (rows,), of which the counts are shares.
        by: `recording` or `segment`.
    """

    rows: list[str]
    columns: list[str]
    counts: np.ndarray
    totals: np.ndarray
    by: str


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


def measure(units: Units, threshold: float = 0.5, resamples: int = 200, seed: int = 1) -> Results:
    """All metrics of units.

    Args:
        units: truth and scores.
        threshold: score from which a class counts as found, 0..1.
        resamples: bootstrap draws of the recordings for the 95 % intervals; 0: none.
        seed: of the draws.
    """
    n_recordings = len(units.recordings)
    weights = intervals.draw(n_recordings, resamples, seed)
    rankings = [
        metrics.rank(truth, scores, units.recording)
        for truth, scores in zip(units.truth.T, units.scores.T, strict=True)
    ]
    pooled = metrics.rank(units.truth.ravel(), units.scores.ravel(), np.repeat(units.recording, len(units.classes)))
    pr_areas, roc_areas = np.swapaxes([metrics.areas(ranking, weights) for ranking in rankings], 0, 1)
    micro_pr, micro_roc = metrics.areas(pooled, weights)
    samples = {
        "macro_pr_auc": _mean(pr_areas),
        "macro_roc_auc": _mean(roc_areas),
        "micro_pr_auc": micro_pr,
        "micro_roc_auc": micro_roc,
    }
    here, classes_here = metrics.count(units.truth, units.scores, units.recording, n_recordings, np.array([threshold]))
    grid, classes_grid = metrics.count(units.truth, units.scores, units.recording, n_recordings, THRESHOLDS)
    drawn, drawn_grid = here.drawn(weights), grid.drawn(weights)
    samples |= {name: getattr(drawn, name)[:, 0] for name in ("precision", "recall", "f1")}
    samples["best_f1"] = drawn_grid.f1.max(axis=1)
    present = metrics.group_sums(units.truth, units.recording, n_recordings) > 0
    guesses = _mean_scores(units).argmax(axis=1)
    if single := _single_class(units, present):
        samples["accuracy"] = _accuracy(present, guesses, weights)

    figures = intervals.figures(samples)
    if "best_f1" in figures:
        figures["best_threshold"] = float(THRESHOLDS[drawn_grid.f1[0].argmax()])
    figures |= {
        "n_recordings": n_recordings,
        "n_segments": len(units.recording),
        "n_classes": len(units.classes),
        "n_classes_tested": int(np.isfinite(pr_areas[:, 0]).sum()),
    }
    return Results(
        figures=figures,
        threshold=threshold,
        classes=_class_table(units, pr_areas, roc_areas, classes_here, classes_grid),
        thresholds=pd.DataFrame(
            {"threshold": THRESHOLDS} | {name: getattr(drawn_grid, name)[0] for name in ("precision", "recall", "f1")}
        ),
        recordings=_recording_table(units, present, here),
        errors=_error_table(units, threshold),
        micro=_curve(pooled) if np.isfinite(micro_roc[0]) else None,
        curves={
            name: _curve(ranking)
            for name, ranking, area in zip(units.classes, rankings, roc_areas[:, 0], strict=True)
            if np.isfinite(area)
        },
        confusion=_confusion_of_recordings(units, present, guesses) if single else _confusion(units, threshold),
    )


def _mean(areas: np.ndarray) -> np.ndarray:
    """Mean over classes (draws,) of areas (classes, draws), without NaN; NaN where nothing else is there."""
    return np.ma.masked_invalid(areas).mean(axis=0).filled(np.nan)


def _mean_scores(units: Units) -> np.ndarray:
    """Mean of the scores of each recording, (recordings, classes)."""
    sizes = np.bincount(units.recording, minlength=len(units.recordings))
    return metrics.group_sums(units.scores, units.recording, len(sizes)) / np.maximum(sizes, 1)[:, None]


def _single_class(units: Units, present: np.ndarray) -> bool:
    """Whether each recording holds exactly one class, and one that the model knows is among them."""
    return bool(((present.sum(axis=1) + units.others) == 1).all() and present.any())


def _accuracy(present: np.ndarray, guesses: np.ndarray, weights: np.ndarray) -> np.ndarray:
    right = present[np.arange(len(guesses)), guesses]
    return metrics.ratio(weights @ right.astype(np.float64), weights @ present.any(axis=1).astype(np.float64))


def _class_table(
    units: Units, pr_areas: np.ndarray, roc_areas: np.ndarray, here: metrics.Counts, grid: metrics.Counts
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


def _recording_table(units: Units, present: np.ndarray, here: metrics.Counts) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "recording": units.recordings,
            "segments": np.bincount(units.recording, minlength=len(units.recordings)),
            "tp": here.tp[:, 0].astype(int),
            "fp": here.fp[:, 0].astype(int),
            "fn": (here.positives - here.tp)[:, 0].astype(int),
            "classes": joined_names(present, units.classes),
        }
    )


def _error_table(units: Units, threshold: float) -> pd.DataFrame:
    """The false positives with the highest and the false negatives with the lowest scores: those to listen to."""
    found = units.scores >= np.float32(threshold)
    parts = []
    false_positive, false_negative = found & ~units.truth, ~found & units.truth
    for kind, wrong, sign in (("false positive", false_positive, -1), ("false negative", false_negative, 1)):
        unit, column = np.nonzero(wrong)
        worst = np.argsort(sign * units.scores[unit, column], kind="stable")[:ERRORS]
        unit, column = unit[worst], column[worst]
        part = {
            "kind": kind,
            "recording": np.array(units.recordings, dtype=object)[units.recording[unit]],
            "class": np.array(units.classes, dtype=object)[column],
            "start_time": units.start_time[unit],
            "end_time": units.end_time[unit],
            "score": units.scores[unit, column].astype(np.float64),
            "present": _present_names(units, unit),
        }
        parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)


def _present_names(units: Units, unit: np.ndarray) -> list[str]:
    """The classes that are present in some units, those that the model does not know last."""
    known = joined_names(units.truth[unit], units.classes)
    return [
        "; ".join(filter(None, [names, *units.unknown.get(index, [])]))
        for names, index in zip(known, unit.tolist(), strict=True)
    ]


def _curve(ranking: metrics.Ranking) -> Curve:
    (tp,), (fp,) = metrics.curve(ranking, np.ones((1, ranking.recording.max() + 1), np.float32))
    chosen = metrics.thin(len(tp), CURVE_POINTS - 1)
    tp, fp, positives, negatives = tp[chosen], fp[chosen], tp[-1], fp[-1]
    return Curve(
        threshold=np.append(1.0, ranking.thresholds[chosen]),
        recall=np.append(0.0, tp / positives),
        precision=np.append(1.0, tp / (tp + fp)),  # scikit-learn's convention for recall 0
        fpr=np.append(0.0, fp / negatives),
    )


def _confusion_of_recordings(units: Units, present: np.ndarray, guesses: np.ndarray) -> Confusion:
    counted = present.any(axis=1)
    true = present[counted].argmax(axis=1)
    counts = np.zeros((len(units.classes), len(units.classes)))
    np.add.at(counts, (true, guesses[counted]), 1)
    return Confusion(units.classes, units.classes, counts, counts.sum(axis=1), by="recording")


def _confusion(units: Units, threshold: float, step: int = 65536) -> Confusion:
    n_classes = len(units.classes)
    counts = np.zeros((n_classes + 1, n_classes + 1))
    totals = np.zeros(n_classes + 1)
    for begin in range(0, len(units.truth), step):
        truth = units.truth[begin : begin + step]
        found = units.scores[begin : begin + step] >= np.float32(threshold)
        rows = np.column_stack([truth, ~truth.any(axis=1)]).astype(np.float32)
        false = np.column_stack([found & ~truth, ~found.any(axis=1)]).astype(np.float32)
        part = rows.T @ false
        part[np.arange(n_classes), np.arange(n_classes)] = (truth & found).sum(axis=0)
        counts += part
        totals += rows.sum(axis=0)
    return Confusion([*units.classes, BACKGROUND], [*units.classes, NONE], counts, totals, by="segment")
