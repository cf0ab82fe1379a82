"""The report files of the testers.

By segments and by blocks: summary_report.txt; recording_details_trained.csv (a row for each unit) and
recording_summary_trained.csv; class_annotated.csv, class_non_annotated.csv (classes that are not annotated: how often
they score high); prediction_range_counts.csv (of all labels); roc_per_threshold_*.csv, roc_classic_curve_*.png,
roc_inverted_curve_*.csv and .png; and, if precision and recall are wanted, pr_per_threshold_* and pr_curve_*, CSV and
PNG. * is `annotated` (annotated classes only) or `trained` (all classes).

By recordings: summary_report.txt, pr_table.csv, pr_curve.csv and .png, recording_details.csv, recording_summary.csv,
class.csv.

Curves have at most 1000 rows. What is undefined is an empty cell in tables and `undefined` in the summary.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lib.core.csv_files import write_table
from lib.core.files import write_text
from lib.core.wording import counted
from lib.evaluation import metrics_plots as plots
from lib.evaluation.metrics import thin
from lib.evaluation.units import joined_names
from lib.testers.tester import Tester
from lib.testers.tester_statistics import THRESHOLDS, Points, at_recall, precision_recall_curve, roc_curve

Columns = dict[str, dict[str, np.ndarray]]
RECALLS = np.arange(101) / 100
ROWS = 1000  # of a curve's table at most
TITLES = {"annotated": "annotated classes", "trained": "all trained classes"}


class ReportKind(NamedTuple):
    """Words of a report.

    Args:
        part: what a unit is.
        label: what follows precision and recall in the summary.
        counted: what tables of classes count.
    """

    part: str
    label: str = ""
    counted: str = "seconds"


SEGMENTS = ReportKind("segment", counted="segments")
BLOCKS = ReportKind("block", " (blocks)")
RECORDINGS = ReportKind("recording", label=" (recordings)")


def write_parts(tester: Tester, kind: ReportKind, numbers: np.ndarray, columns: Columns | None) -> dict[str, float]:
    """Reports by segments or blocks; returns the figures that are single numbers.

    Args:
        tester: what to report.
        kind: SEGMENTS or BLOCKS.
        numbers: of the units in their recordings, int (n,).
        columns: precision and recall at the thresholds, by name, for `annotated` and `trained`; None: not wanted.
    """
    folder, areas = Path(tester.output_dir), tester.area_statistics()
    for suffix, curve in tester.curves().items():
        if columns:
            _write_rates(folder, suffix, columns[suffix])
            _write_pr_curve(folder, suffix, curve, areas[0][f"micro_pr_auc_{suffix}"])
        _write_roc(folder, suffix, curve, areas[1][f"micro_roc_auc_{suffix}"])
    write_table(folder / "prediction_range_counts.csv", range_counts(tester.labels.segments.scores), "%.1f")

    units, cases = tester.units, _cases(tester)
    details = pd.DataFrame(
        {
            "recording": np.array(units.recordings, dtype=object)[units.recording],
            "segment": numbers,
            **{f"{name} count": mask.sum(axis=1) for name, mask in cases.items()},
            **{f"{name} class": joined_names(mask, units.classes) for name, mask in cases.items()},
        }
    )
    write_table(folder / "recording_details_trained.csv", details)
    summary = details.groupby("recording", sort=False)[["TP count", "FP count", "FN count"]].sum().reset_index()
    write_table(folder / "recording_summary_trained.csv", summary)
    stats = tester.details_dict
    write_table(folder / "class_annotated.csv", _class_table(tester, kind, areas, stats), "%.3f")
    write_table(folder / "class_non_annotated.csv", _unannotated_table(tester))
    _write_summary(tester, _part_summary(tester, kind, areas, stats))
    return _single_figures(*areas, stats)


def write_recordings(
    tester: Tester, table: dict[str, Any], counts: tuple[np.ndarray, np.ndarray], wanted: float
) -> dict[str, float]:
    """Reports by recordings; returns the figures that are single numbers.

    Args:
        tester: what to report.
        table: its precision and recall over thresholds.
        counts: segments right and wrong of each recording, of all classes.
        wanted: precision at which the summary tells seconds.
    """
    folder, areas = Path(tester.output_dir), tester.area_statistics()
    rows = {"threshold": table["thresholds"], "precision": table["precisions"], "recall": table["recalls"]}
    write_table(folder / "pr_table.csv", pd.DataFrame(rows), "%.3f")
    precision, recall = recall_by_precision(np.array(table["precisions"]), np.array(table["recalls"]))
    area, title = areas[0]["micro_pr_auc_annotated"], "Recall by precision of recordings"
    _write_recall(folder / "pr_curve", precision, recall, area, title)

    cases = _cases(tester)
    details = pd.DataFrame(
        {
            "directory": tester.recording_dir,
            "recording": tester.units.recordings,
            "TP count": counts[0],
            "FP count": counts[1],
            "FN count": cases["FN"].sum(axis=1),
            **{f"{name} classes": joined_names(mask, tester.units.classes) for name, mask in cases.items()},
        }
    )
    write_table(folder / "recording_details.csv", details)
    write_table(folder / "recording_summary.csv", details.iloc[:, :5])
    stats = tester.details_dict
    write_table(folder / "class.csv", _class_table(tester, RECORDINGS, areas, stats), "%.3f")
    _write_summary(tester, _recording_summary(tester, table, wanted, areas, stats))
    return _single_figures(*areas, stats)


def _single_figures(*statistics: dict[str, Any]) -> dict[str, float]:
    """Of statistics, those that are single numbers."""
    return {name: float(value) for part in statistics for name, value in part.items() if isinstance(value, float)}


def range_counts(scores: np.ndarray) -> pd.DataFrame:
    """How many scores above 0 are in 0 to 0.1, 0.1 to 0.2, ..., 0.9 to 1; a bound belongs to the range above it."""
    bounds = np.arange(11) / 10
    counts, _ = np.histogram(scores[scores > 0], bounds.astype(scores.dtype))
    return pd.DataFrame({"min": bounds[:-1], "max": bounds[1:], "count": counts})


def recall_by_precision(precision: np.ndarray, recall: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The highest recall with at least each precision, at steps of 0.01 over the precisions that there are."""
    if not len(precision):
        return np.zeros(0), np.zeros(0)
    order = np.argsort(precision, kind="stable")
    best = np.maximum.accumulate(recall[order][::-1])[::-1]
    low, high = precision[order][0], precision[order][-1]
    grid = np.arange(np.floor(100 * low + 1e-9), np.floor(100 * high + 1e-9) + 1) / 100
    return grid, best[np.searchsorted(precision[order], grid - 1e-9)]


def _write_rates(folder: Path, suffix: str, columns: dict[str, np.ndarray]) -> None:
    lines = {name[0].upper() + name[1:]: values for name, values in columns.items()}
    figure = plots.plot_lines(THRESHOLDS, lines, "Threshold", f"Precision and recall, {TITLES[suffix]}")
    _write_plotted(folder / f"pr_per_threshold_{suffix}", {"threshold": THRESHOLDS} | columns, figure)


def _write_pr_curve(folder: Path, suffix: str, curve: Points, area: float) -> None:
    precision, recall, _ = precision_recall_curve(curve)
    chosen = thin(len(precision), ROWS)
    title = f"Recall by precision, {TITLES[suffix]}"
    _write_recall(folder / f"pr_curve_{suffix}", precision[chosen], recall[chosen], area, title)


def _write_recall(path: Path, precision: np.ndarray, recall: np.ndarray, area: float, title: str) -> None:
    figure = plots.plot_curve(precision, recall, "Precision", "Recall", title, _area("PR-AUC", area))
    _write_plotted(path, {"precision": precision, "recall": recall}, figure)


def _write_roc(folder: Path, suffix: str, curve: Points, area: float) -> None:
    fpr, tpr, threshold = (column[:0:-1] for column in roc_curve(curve))
    chosen = thin(len(fpr), ROWS)
    rows = {"threshold": threshold, "true positive rate": tpr, "false positive rate": fpr}
    write_table(folder / f"roc_per_threshold_{suffix}.csv", pd.DataFrame(rows).iloc[chosen], "%.3f")
    x, y, title = np.append(fpr[chosen], 0), np.append(tpr[chosen], 0), f"ROC, {TITLES[suffix]}"
    labels = "False positive rate", "True positive rate", title, _area("ROC-AUC", area)
    figure = plots.plot_curve(x, y, *labels, chance=True)
    plots.save(figure, folder / f"roc_classic_curve_{suffix}.png")

    at, precision = at_recall(curve, RECALLS)
    lines = {"1 - false positive rate": 1 - at, "Precision": precision}
    figure = plots.plot_lines(RECALLS, lines, "Recall", f"False positives and precision by recall, {TITLES[suffix]}")
    rows = {"roc_recall": RECALLS, "one_minus_fpr": 1 - at, "roc_precision": precision}
    _write_plotted(folder / f"roc_inverted_curve_{suffix}", rows, figure)


def _found(tester: Tester) -> np.ndarray:
    """Which units and classes score at least the threshold, bool (n, c)."""
    return tester.units.scores >= np.float32(tester.threshold)


def _cases(tester: Tester) -> dict[str, np.ndarray]:
    """True and false positives and false negatives, bool (n, c)."""
    truth, found = tester.units.truth, _found(tester)
    return {"TP": truth & found, "FP": found & ~truth, "FN": truth & ~found}


def _class_table(tester: Tester, kind: ReportKind, areas: tuple, stats: dict[str, Any]) -> pd.DataFrame:
    names, columns = tester.annotated_classes, tester.annotated_columns
    truth = tester.units.truth[:, columns]
    right, wrong = stats["class_valid"], stats["class_invalid"]
    if kind is SEGMENTS:
        found = _found(tester)[:, columns]
        right, wrong = (truth & found).sum(axis=0), (found & ~truth).sum(axis=0)
    annotated = "annotated recordings" if kind is RECORDINGS else "annotated segments"
    return pd.DataFrame(
        {
            "class": names,
            "PR-AUC": [areas[0]["class_pr_auc"][name] for name in names],
            "ROC-AUC": [areas[1]["class_roc_auc"][name] for name in names],
            "precision": stats["class_precision"],
            "recall": stats["class_recall"],
            annotated: truth.sum(axis=0),
            f"TP {kind.counted}": right,
            f"FP {kind.counted}": wrong,
        }
    )


def _unannotated_table(tester: Tester) -> pd.DataFrame:
    units, annotated = tester.units, tester.annotated_class_set
    others = [column for column, name in enumerate(units.classes) if name not in annotated]
    counts = {
        f"predictions >= {text}": (units.scores[:, others] >= np.float32(text)).sum(axis=0)
        for text in (".25", ".5", ".75")
    }
    return pd.DataFrame({"class": [units.classes[column] for column in others]} | counts)


def _part_summary(tester: Tester, kind: ReportKind, areas: tuple, stats: dict[str, Any]) -> list[str]:
    (pr, roc), lines = areas, []
    for suffix, title in TITLES.items():
        lines.append(f"{title[0].upper()}{title[1:]}:")
        if suffix == "annotated":
            lines.append(_figure("Macro-averaged PR-AUC score", pr["macro_pr_auc"]))
            lines.append(_figure("Macro-averaged ROC-AUC score", roc["macro_roc_auc"]))
        lines.append(_figure("Micro-averaged PR-AUC score", pr[f"micro_pr_auc_{suffix}"]))
        lines.append(_figure("Micro-averaged ROC-AUC score", roc[f"micro_roc_auc_{suffix}"]))
        lines += [*_rate_lines(tester, kind, stats, suffix, seconds=suffix == "annotated" and kind is BLOCKS), ""]
    positive = tester.units.scores[tester.units.truth]
    return [
        *lines,
        "Means of the macro average (annotated) and the micro average (trained):",
        _figure("PR-AUC", pr["combined_pr_auc_trained"]),
        _figure("ROC-AUC", roc["combined_roc_auc_trained"]),
        f"Mean score of the {kind.part}s that hold a class:",
        _figure("Score", float(positive.mean()) if len(positive) else np.nan),
    ]


def _recording_summary(
    tester: Tester, table: dict[str, Any], wanted: float, areas: tuple, stats: dict[str, Any]
) -> list[str]:
    enough = np.array(table["precision_secs"]) >= wanted
    best = np.max(np.array(table["tp_secs"])[enough], initial=0)
    seconds = f"= {best:.1f}" if enough.any() else ": no threshold has that precision"
    pr, roc = areas
    return [
        f"TP seconds at precision {wanted:.2f} (by seconds) {seconds}",
        "",
        "By recordings, whatever their length:",
        _figure("Macro-averaged PR-AUC score", pr["macro_pr_auc"]),
        _figure("Micro-averaged PR-AUC score", pr["micro_pr_auc_annotated"]),
        _figure("Macro-averaged ROC-AUC score", roc["macro_roc_auc"]),
        _figure("Micro-averaged ROC-AUC score", roc["micro_roc_auc_annotated"]),
        *_rate_lines(tester, RECORDINGS, stats, "annotated", seconds=True),
    ]


def _rate_lines(tester: Tester, kind: ReportKind, stats: dict[str, Any], suffix: str, seconds: bool) -> list[str]:
    rates = {f"Precision{kind.label}": stats[f"precision_{suffix}"]}
    rates |= {"Precision (seconds)": stats["precision_secs"]} if seconds else {}
    rates |= {f"Recall{kind.label}": stats[f"recall_{suffix}"]}
    lines = [f"      {name} = {100 * value:.2f}%" for name, value in rates.items()]
    return [f"   For threshold = {tester.threshold:g}:", *lines]


def _area(name: str, area: float) -> str:
    return f"{name} {area:.3f}" if np.isfinite(area) else f"{name} undefined"


def _figure(name: str, value: float) -> str:
    return f"   {name} = {value:.4f}" if np.isfinite(value) else f"   {name} = undefined"


def _write_summary(tester: Tester, lines: list[str]) -> None:
    units, n_annotated = tester.units, len(tester.annotated_classes)
    head = f"{counted(len(units.recordings), 'recording')}, {counted(len(units.recording), 'unit')}, "
    head += counted(len(units.classes), "class", "classes")
    notes = ["", *map(str, tester.problems)] if tester.problems else []
    text = "\n".join([f"{head} ({n_annotated} of them annotated)", "", *lines, *notes, ""])
    write_text(Path(tester.output_dir) / "summary_report.txt", text)


def _write_plotted(path: Path, columns: dict[str, np.ndarray], figure: Figure) -> None:
    write_table(path.with_suffix(".csv"), pd.DataFrame(columns), "%.3f")
    plots.save(figure, path.with_suffix(".png"))
