"""The report files of the testers.

By segments and by blocks: summary_report.txt; recording_details_trained.csv (a row for each unit) and
recording_summary_trained.csv; class_annotated.csv, class_non_annotated.csv (classes that are not annotated: how often
they score high); prediction_range_counts.csv (of all labels); roc_per_threshold_*.csv, roc_classic_curve_*.png,
roc_inverted_curve_*.csv and .png; and where there is a table of precision and recall, pr_per_threshold_* and
pr_curve_*, CSV and PNG. * is `annotated` (annotated classes only) or `trained` (all classes).

By recordings: summary_report.txt, pr_table.csv, pr_curve.csv and .png, recording_details.csv, recording_summary.csv,
class.csv.

Curves have at most 1000 rows. What is undefined is an empty cell in tables and `undefined` in the summary.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lib.errors import Problem
from lib.evaluation import plots
from lib.evaluation.assembly import Evidence
from lib.evaluation.plots import save
from lib.evaluation.tester_statistics import THRESHOLDS, Points, at_recall, precision_recall_curve, roc_curve, thinned
from lib.evaluation.units import Units
from lib.files import write_text

Columns = dict[str, dict[str, np.ndarray]]
RECALLS = np.arange(101) / 100
TITLES = {"annotated": "annotated classes", "trained": "all trained classes"}


@dataclass(frozen=True)
class Findings:
    """What a tester found. columns: of the annotated classes, int (k,). scores: of all labels, (m,). pr_auc, roc_auc,
    details: dicts of the tester. curves: points for `annotated` and `trained`.
    """

    units: Units
    annotated: list[str]
    columns: np.ndarray
    threshold: float
    scores: np.ndarray
    pr_auc: dict[str, Any]
    roc_auc: dict[str, Any]
    details: dict[str, Any]
    curves: dict[str, Points]
    problems: list[Problem]

    @property
    def found(self) -> np.ndarray:
        """Which units and classes score at least the threshold, bool (n, c)."""
        return self.units.scores >= np.float32(self.threshold)


@dataclass(frozen=True)
class Kind:
    """Words of a report. part: what a unit is. first: number of a recording's first one. label: behind precision and
    recall in the summary. counted: what class_annotated.csv counts, seconds or parts.
    """

    part: str
    first: int
    label: str
    counted: str


SEGMENTS = Kind("segment", 0, "", "segments")
BLOCKS = Kind("block", 1, " (blocks)", "seconds")


def write_parts(folder: str | Path, findings: Findings, kind: Kind, hop: float, columns: Columns | None) -> None:
    """Reports by segments or blocks.

    hop: seconds from a unit to the next. columns: of precision and recall at the thresholds, by name, for `annotated`
    and `trained`; None: not wanted.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, curve in findings.curves.items():
        if columns:
            _write_rates(folder, suffix, columns[suffix])
            _write_pr_curve(folder, suffix, curve, findings.pr_auc[f"micro_pr_auc_{suffix}"])
        _write_roc(folder, suffix, curve, findings.roc_auc[f"micro_roc_auc_{suffix}"])
    _write(folder / "prediction_range_counts.csv", range_counts(findings.scores), "%.1f")
    details = _part_table(findings, kind, hop)
    _write(folder / "recording_details_trained.csv", details)
    summary = details.groupby("recording", sort=False)[["TP count", "FP count", "FN count"]].sum().reset_index()
    _write(folder / "recording_summary_trained.csv", summary)
    _write(folder / "class_annotated.csv", _class_table(findings, kind), "%.3f")
    _write(folder / "class_non_annotated.csv", _unannotated_table(findings))
    write_text(folder / "summary_report.txt", _part_summary(findings, kind))


def write_recordings(
    folder: str | Path,
    findings: Findings,
    table: dict[str, Any],
    counts: tuple[np.ndarray, np.ndarray],
    wanted: float,
    directory: str,
) -> None:
    """Reports by recordings.

    table: the tester's. counts: segments right and wrong of each recording, of all classes. wanted: precision at which
    the summary tells seconds. directory: where the recordings are.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows = {"threshold": table["thresholds"], "precision": table["precisions"], "recall": table["recalls"]}
    _write(folder / "pr_table.csv", pd.DataFrame(rows), "%.3f")
    precision, recall = recall_by_precision(np.array(table["precisions"]), np.array(table["recalls"]))
    _write(folder / "pr_curve.csv", pd.DataFrame({"precision": precision, "recall": recall}), "%.3f")
    area = findings.pr_auc["micro_pr_auc_annotated"]
    title = "Recall by precision of recordings"
    save(plots.plot_recall_by_precision(precision, recall, area, title), folder / "pr_curve.png")

    units, found = findings.units, findings.found
    missed = units.truth & ~found
    details = pd.DataFrame(
        {
            "directory": directory,
            "recording": units.recordings,
            "TP count": counts[0],
            "FP count": counts[1],
            "FN count": missed.sum(axis=1),
            "TP classes": _joined(units.truth & found, units.classes),
            "FP classes": _joined(found & ~units.truth, units.classes),
            "FN classes": _joined(missed, units.classes),
        }
    )
    _write(folder / "recording_details.csv", details)
    _write(folder / "recording_summary.csv", details.iloc[:, :5])
    _write(folder / "class.csv", _class_table(findings, Kind("recording", 0, "", "seconds")), "%.3f")
    write_text(folder / "summary_report.txt", _recording_summary(findings, table, wanted))


def seconds_by_recording(evidence: Evidence, units: Units, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Seconds right and wrong (recordings,) at a threshold, of all classes."""
    counted = evidence.score >= np.float32(threshold)
    right = units.truth[evidence.unit, evidence.column]
    owner, n = units.recording[evidence.unit], len(units.recordings)
    weights = evidence.seconds * counted
    return np.bincount(owner, weights * right, minlength=n), np.bincount(owner, weights * ~right, minlength=n)


def range_counts(scores: np.ndarray) -> pd.DataFrame:
    """How many scores are in 0 to 0.1, 0.1 to 0.2, ..., 0.9 to 1; a bound belongs to the range above it."""
    edges = np.arange(1, 10) / 10
    place = np.searchsorted(edges.astype(scores.dtype), scores, side="right")
    bounds = np.arange(11) / 10
    return pd.DataFrame({"min": bounds[:-1], "max": bounds[1:], "count": np.bincount(place, minlength=10)})


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
    _write(folder / f"pr_per_threshold_{suffix}.csv", pd.DataFrame({"threshold": THRESHOLDS} | columns), "%.3f")
    lines = {name[0].upper() + name[1:]: values for name, values in columns.items()}
    figure = plots.plot_lines(THRESHOLDS, lines, "Threshold", f"Precision and recall, {TITLES[suffix]}")
    save(figure, folder / f"pr_per_threshold_{suffix}.png")


def _write_pr_curve(folder: Path, suffix: str, curve: Points, area: float) -> None:
    precision, recall = thinned(*precision_recall_curve(curve)[:2])
    _write(folder / f"pr_curve_{suffix}.csv", pd.DataFrame({"precision": precision, "recall": recall}), "%.3f")
    title = f"Recall by precision, {TITLES[suffix]}"
    save(plots.plot_recall_by_precision(precision, recall, area, title), folder / f"pr_curve_{suffix}.png")


def _write_roc(folder: Path, suffix: str, curve: Points, area: float) -> None:
    fpr, tpr, threshold = (column[::-1][:-1] for column in roc_curve(curve))
    threshold, tpr, fpr = thinned(threshold, tpr, fpr)
    rows = {"threshold": threshold, "true positive rate": tpr, "false positive rate": fpr}
    _write(folder / f"roc_per_threshold_{suffix}.csv", pd.DataFrame(rows), "%.3f")
    figure = plots.plot_roc(np.append(fpr, 0), np.append(tpr, 0), area, f"ROC, {TITLES[suffix]}")
    save(figure, folder / f"roc_classic_curve_{suffix}.png")

    at, precision = at_recall(curve, RECALLS)
    rows = {"roc_recall": RECALLS, "one_minus_fpr": 1 - at, "roc_precision": precision}
    _write(folder / f"roc_inverted_curve_{suffix}.csv", pd.DataFrame(rows), "%.3f")
    lines = {"1 - false positive rate": 1 - at, "Precision": precision}
    figure = plots.plot_lines(RECALLS, lines, "Recall", f"False positives and precision by recall, {TITLES[suffix]}")
    save(figure, folder / f"roc_inverted_curve_{suffix}.png")


def _part_table(findings: Findings, kind: Kind, hop: float) -> pd.DataFrame:
    units, found = findings.units, findings.found
    cases = {"TP": units.truth & found, "FP": found & ~units.truth, "FN": units.truth & ~found}
    names = np.array(units.recordings, dtype=object)[units.recording]
    index = np.rint(units.start_time / hop).astype(np.int64) + kind.first
    columns = {"recording": names, "segment": index}
    columns |= {f"{name} count": mask.sum(axis=1) for name, mask in cases.items()}
    return pd.DataFrame(columns | {f"{name} class": _joined(mask, units.classes) for name, mask in cases.items()})


def _joined(mask: np.ndarray, classes: list[str]) -> list[str]:
    """Names of the classes in each row of a mask (n, c)."""
    rows, columns = np.nonzero(mask)
    names = np.array(classes, dtype=object)[columns]
    texts = [""] * len(mask)
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    for row, part in zip(rows[starts], np.split(names, starts[1:]), strict=False):
        texts[row] = "; ".join(part)
    return texts


def _class_table(findings: Findings, kind: Kind) -> pd.DataFrame:
    truth, found = findings.units.truth[:, findings.columns], findings.found[:, findings.columns]
    if kind.counted == "seconds":
        right, wrong = findings.details["class_valid"], findings.details["class_invalid"]
    else:
        right, wrong = (truth & found).sum(axis=0), (found & ~truth).sum(axis=0)
    annotated = "annotated recordings" if kind.part == "recording" else "annotated segments"
    return pd.DataFrame(
        {
            "class": findings.annotated,
            "PR-AUC": [findings.pr_auc["class_pr_auc"][name] for name in findings.annotated],
            "ROC-AUC": [findings.roc_auc["class_roc_auc"][name] for name in findings.annotated],
            "precision": findings.details["class_precision"],
            "recall": findings.details["class_recall"],
            annotated: truth.sum(axis=0),
            f"TP {kind.counted}": right,
            f"FP {kind.counted}": wrong,
        }
    )


def _unannotated_table(findings: Findings) -> pd.DataFrame:
    units, annotated = findings.units, set(findings.annotated)
    others = [column for column, name in enumerate(units.classes) if name not in annotated]
    rows = {"class": [units.classes[column] for column in others]}
    counts = {
        f"predictions >= {text}": (units.scores[:, others] >= np.float32(text)).sum(axis=0)
        for text in (".25", ".5", ".75")
    }
    return pd.DataFrame(rows | counts)


def _part_summary(findings: Findings, kind: Kind) -> str:
    lines = []
    for suffix, title in TITLES.items():
        lines.append(f"{title[0].upper()}{title[1:]}:")
        if suffix == "annotated":
            lines += [
                _figure("Macro-averaged PR-AUC score", findings.pr_auc["macro_pr_auc"]),
                _figure("Macro-averaged ROC-AUC score", findings.roc_auc["macro_roc_auc"]),
            ]
        lines += [
            _figure("Micro-averaged PR-AUC score", findings.pr_auc[f"micro_pr_auc_{suffix}"]),
            _figure("Micro-averaged ROC-AUC score", findings.roc_auc[f"micro_roc_auc_{suffix}"]),
            f"   For threshold = {findings.threshold:g}:",
            f"      Precision{kind.label} = {100 * findings.details[f'precision_{suffix}']:.2f}%",
        ]
        if suffix == "annotated" and kind is BLOCKS:
            lines.append(f"      Precision (seconds) = {100 * findings.details['precision_secs']:.2f}%")
        lines += [f"      Recall{kind.label} = {100 * findings.details[f'recall_{suffix}']:.2f}%", ""]
    units = findings.units
    positive = units.scores[units.truth]
    mean = float(positive.mean()) if len(positive) else np.nan
    lines += [
        "Means of the macro average (annotated) and the micro average (trained):",
        _figure("PR-AUC", findings.pr_auc["combined_pr_auc_trained"]),
        _figure("ROC-AUC", findings.roc_auc["combined_roc_auc_trained"]),
        f"Mean score of the {kind.part}s that hold a class:",
        _figure("Score", mean),
    ]
    return _text(lines, findings)


def _recording_summary(findings: Findings, table: dict[str, Any], wanted: float) -> str:
    enough = np.array(table["precision_secs"]) >= wanted
    best = np.max(np.array(table["tp_secs"])[enough], initial=0)
    seconds = f"= {best:.1f}" if enough.any() else ": no threshold has that precision"
    lines = [
        f"TP seconds at precision {wanted:.2f} (by seconds) {seconds}",
        "",
        "By recordings, whatever their length:",
        _figure("Macro-averaged PR-AUC score", findings.pr_auc["macro_pr_auc"]),
        _figure("Micro-averaged PR-AUC score", findings.pr_auc["micro_pr_auc_annotated"]),
        _figure("Macro-averaged ROC-AUC score", findings.roc_auc["macro_roc_auc"]),
        _figure("Micro-averaged ROC-AUC score", findings.roc_auc["micro_roc_auc_annotated"]),
        f"   For threshold = {findings.threshold:g}:",
        f"      Precision (recordings) = {100 * findings.details['precision_annotated']:.2f}%",
        f"      Precision (seconds) = {100 * findings.details['precision_secs']:.2f}%",
        f"      Recall (recordings) = {100 * findings.details['recall_annotated']:.2f}%",
    ]
    return _text(lines, findings)


def _figure(name: str, value: float) -> str:
    return f"   {name} = {value:.4f}" if np.isfinite(value) else f"   {name} = undefined"


def _text(lines: list[str], findings: Findings) -> str:
    units = findings.units
    head = f"{len(units.recordings)} recordings, {len(units.recording)} units, {len(units.classes)} classes"
    head += f" ({len(findings.annotated)} of them annotated)"
    notes = ["", *map(str, findings.problems)] if findings.problems else []
    return "\n".join([head, "", *lines, *notes, ""])


def _write(path: Path, table: pd.DataFrame, float_format: str = "%.6g") -> None:
    write_text(path, table.to_csv(index=False, float_format=float_format, lineterminator="\n"))
