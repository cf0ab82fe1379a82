"""Everything that is measured on units: figures with intervals, tables by class, recording and threshold, curves.

How the cases that have no obvious answer are treated:

- Micro averages pool all pairs of a unit and a class. A class of the model that the test set never holds counts there:
  what is found of it is false. A class that only the test set knows does not: no model can find it.
- Macro averages are means over the classes with at least one positive and one negative unit; in a bootstrap draw, over
  those that have both in the draw.
- The best threshold is the one of 0.01, 0.02, ... 1.00 with the best F1, the lowest of equals. It is chosen on the test
  set itself, so best_f1 is an upper bound; the interval of best_f1 chooses anew in each draw.
- Accuracy is given where each recording holds exactly one class: the share of recordings whose class has the highest
  mean score over the recording's units. Recordings of a class unknown to the model are left out of it.
- A figure that is undefined is left out of `Results.figures`; in tables it is NaN, an empty cell in CSV.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lib.evaluation import bootstrap, metrics
from lib.evaluation.units import Units, by_recording

THRESHOLDS = np.arange(1, 101) / 100
CURVE_POINTS = 500
ERRORS = 100  # of each kind in the table of errors
BACKGROUND, NONE = "(background)", "(none)"


@dataclass(frozen=True)
class Curve:
    """The two curves of a ranking; float arrays (g,) from high to low threshold, at most CURVE_POINTS long."""

    threshold: np.ndarray
    recall: np.ndarray
    precision: np.ndarray
    fpr: np.ndarray
    tpr: np.ndarray


@dataclass(frozen=True)
class Confusion:
    """What was found where a class is. counts: (rows, columns). totals: (rows,), of which the counts are shares.

    Where each recording holds one class (`by` is `recording`): rows are true classes, columns the classes with the
    highest mean score. Otherwise (`by` is `segment`): rows are the segments that hold a class, and those that hold none
    (`(background)`); columns say in how many of them a class was found at the threshold. Beside the diagonal only
    false ones count, those of segments that do not hold the column's class; `(none)` counts segments in which nothing
    was found. As a segment may hold and find several classes, rows need not add up to their totals.
    """

    rows: list[str]
    columns: list[str]
    counts: np.ndarray
    totals: np.ndarray
    by: str


@dataclass(frozen=True)
class Results:
    """What `measure` returns.

    figures: name -> number, no NaN: the metrics, bounds of their intervals as <name>_low and <name>_high, and counts.
    classes, thresholds, recordings, errors: tables as their CSV files hold them. curves: class name -> Curve, for
    classes with positive and negative units. micro: Curve of all pairs, None where it is undefined.
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

    threshold: score from which a class counts as found, 0..1. resamples: bootstrap draws of the recordings for the
    95 % intervals, 0: none. seed: of the draws.
    """
    once = np.ones((1, len(units.recordings)), dtype=np.float32)
    weights = np.concatenate([once, bootstrap.draw(len(units.recordings), resamples, seed)])

    rankings = [
        metrics.rank(units.truth[:, column], units.scores[:, column], units.recording)
        for column in range(len(units.classes))
    ]
    pooled = metrics.rank(units.truth.ravel(), units.scores.ravel(), np.repeat(units.recording, len(units.classes)))
    pr_areas, roc_areas = _areas_by_class(rankings, weights)
    micro_pr, micro_roc = metrics.areas(pooled, weights)
    samples = {
        "macro_pr_auc": _mean(pr_areas),
        "macro_roc_auc": _mean(roc_areas),
        "micro_pr_auc": micro_pr,
        "micro_roc_auc": micro_roc,
    }
    n_recordings = len(units.recordings)
    here, classes_here = metrics.count(units.truth, units.scores, units.recording, n_recordings, np.array([threshold]))
    grid, classes_grid = metrics.count(units.truth, units.scores, units.recording, n_recordings, THRESHOLDS)
    drawn, drawn_grid = here.drawn(weights), grid.drawn(weights)
    samples |= {name: getattr(drawn, name)[:, 0] for name in ("precision", "recall", "f1")}
    samples["best_f1"] = drawn_grid.f1.max(axis=1)
    present = by_recording(units.truth, units) > 0
    single = _single_class(units, present)
    guesses = _mean_scores(units).argmax(axis=1)
    if single:
        samples["accuracy"] = _accuracy(present, guesses, weights)

    figures = _figures(samples)
    if "best_f1" in figures:
        figures["best_threshold"] = float(THRESHOLDS[drawn_grid.f1[0].argmax()])
    figures |= {
        "n_recordings": len(units.recordings),
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
        micro=_curve(pooled, once) if np.isfinite(micro_roc[0]) else None,
        curves={
            name: _curve(ranking, once)
            for name, ranking, area in zip(units.classes, rankings, roc_areas[:, 0], strict=True)
            if np.isfinite(area)
        },
        confusion=_confusion_of_recordings(units, present, guesses) if single else _confusion(units, threshold),
    )


def _areas_by_class(rankings: list[metrics.Ranking], weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """PR-AUC and ROC-AUC, (classes, draws) each."""
    pairs = [metrics.areas(ranking, weights) for ranking in rankings]
    shape = (len(rankings), len(weights))
    return np.reshape([pair[0] for pair in pairs], shape), np.reshape([pair[1] for pair in pairs], shape)


def _mean(areas: np.ndarray) -> np.ndarray:
    """Mean over classes (draws,) of areas (classes, draws), without NaN; NaN where nothing else is there."""
    defined = np.isfinite(areas)
    number = defined.sum(axis=0)
    total = np.where(defined, areas, 0).sum(axis=0)
    return np.divide(total, number, out=np.full(areas.shape[1], np.nan), where=number > 0)


def _figures(samples: dict[str, np.ndarray]) -> dict[str, float]:
    """Values (the first sample) with the bounds of their intervals (from the others); what is NaN is left out."""
    figures: dict[str, float] = {}
    for name, values in samples.items():
        low, high = bootstrap.interval(values[1:])
        figures |= {name: float(values[0]), f"{name}_low": low, f"{name}_high": high}
    return {name: round(value, 6) for name, value in figures.items() if np.isfinite(value)}


def _mean_scores(units: Units) -> np.ndarray:
    sizes = np.bincount(units.recording, minlength=len(units.recordings))
    return by_recording(units.scores, units) / np.maximum(sizes, 1)[:, None]


def _single_class(units: Units, present: np.ndarray) -> bool:
    """Whether each recording holds exactly one class, and one that the model knows is among them."""
    return bool(((present.sum(axis=1) + units.others) == 1).all() and present.any())


def _accuracy(present: np.ndarray, guesses: np.ndarray, weights: np.ndarray) -> np.ndarray:
    counted = present.any(axis=1)
    right = present[np.arange(len(guesses)), guesses]
    total = weights @ counted.astype(np.float64)
    return np.divide(weights @ right.astype(np.float64), total, out=np.full(len(weights), np.nan), where=total > 0)


def _class_table(
    units: Units, pr_areas: np.ndarray, roc_areas: np.ndarray, here: metrics.Counts, grid: metrics.Counts
) -> pd.DataFrame:
    bounds = np.reshape([bootstrap.interval(samples[1:]) for samples in pr_areas], (-1, 2))
    f1 = np.nan_to_num(grid.f1)
    tested = here.positives[:, 0] > 0
    return pd.DataFrame(
        {
            "class": units.classes,
            "positives": here.positives[:, 0].astype(int),
            "pr_auc": pr_areas[:, 0],
            "pr_auc_low": bounds[:, 0],
            "pr_auc_high": bounds[:, 1],
            "roc_auc": roc_areas[:, 0],
            "precision": here.precision[:, 0],
            "recall": here.recall[:, 0],
            "f1": here.f1[:, 0],
            "best_threshold": np.where(tested, THRESHOLDS[f1.argmax(axis=1)], np.nan),
            "best_f1": np.where(tested, f1.max(axis=1), np.nan),
        }
    )


def _recording_table(units: Units, present: np.ndarray, here: metrics.Counts) -> pd.DataFrame:
    names = np.array(units.classes, dtype=object)
    return pd.DataFrame(
        {
            "recording": units.recordings,
            "segments": np.bincount(units.recording, minlength=len(units.recordings)),
            "tp": here.tp[:, 0].astype(int),
            "fp": here.fp[:, 0].astype(int),
            "fn": (here.positives - here.tp)[:, 0].astype(int),
            "classes": ["; ".join(names[row]) for row in present],
        }
    )


def _error_table(units: Units, threshold: float) -> pd.DataFrame:
    """The false positives with the highest and the false negatives with the lowest scores: what to listen to next."""
    found = units.scores >= np.float32(threshold)
    parts = []
    false_positive, false_negative = found & ~units.truth, ~found & units.truth
    for kind, wrong, sign in (("false positive", false_positive, -1), ("false negative", false_negative, 1)):
        unit, column = np.nonzero(wrong)
        worst = np.argsort(sign * units.scores[unit, column], kind="stable")[:ERRORS]
        unit, column = unit[worst], column[worst]
        part = pd.DataFrame(
            {
                "kind": kind,
                "recording": [units.recordings[index] for index in units.recording[unit]],
                "class": [units.classes[index] for index in column],
                "start_time": units.start_time[unit],
                "end_time": units.end_time[unit],
                "score": units.scores[unit, column].astype(np.float64),
            }
        )
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _curve(ranking: metrics.Ranking, once: np.ndarray) -> Curve:
    (tp,), (fp,) = metrics.curve(ranking, once)
    chosen = np.unique(np.linspace(0, len(tp) - 1, min(len(tp), CURVE_POINTS - 1)).astype(int))
    tp, fp, positives, negatives = tp[chosen], fp[chosen], tp[-1], fp[-1]
    start = np.zeros(1)
    return Curve(
        threshold=np.append(1.0, ranking.thresholds[chosen]),
        recall=np.append(start, tp / positives),
        precision=np.append(1.0, tp / (tp + fp)),  # scikit-learn's convention for recall 0
        fpr=np.append(start, fp / negatives),
        tpr=np.append(start, tp / positives),
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
