"""The report folder: tables for other programs, pictures and a summary for people."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lib.errors import AudioError, Problem
from lib.evaluation import plots
from lib.evaluation.events import EventResults
from lib.evaluation.plots import save
from lib.evaluation.predictions import Predictions
from lib.evaluation.results import Confusion, Curve, Results
from lib.evaluation.units import Units, by_recording
from lib.files import write_text

if TYPE_CHECKING:
    from lib.datasets.contents import Contents

FIGURES = [
    ("macro_pr_auc", "macro PR-AUC"),
    ("micro_pr_auc", "micro PR-AUC"),
    ("macro_roc_auc", "macro ROC-AUC"),
    ("micro_roc_auc", "micro ROC-AUC"),
    ("precision", "precision"),
    ("recall", "recall"),
    ("f1", "F1"),
    ("best_f1", "best F1"),
    ("accuracy", "accuracy"),
    ("event_precision", "event precision"),
    ("event_recall", "event recall"),
    ("event_f1", "event F1"),
    ("event_onset_f1", "event onset F1"),
]
SCORE_BINS = 50


def write_report(
    folder: str | Path,
    results: Results,
    units: Units,
    predictions: Predictions,
    tested: list[str],
    problems: list[Problem],
) -> None:
    """Write everything but the example picture into a folder, over what is there.

    tested: names of all recordings of the test set, also those that could not be evaluated. problems: what the
    summary lists at its end.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        "classes": results.classes,
        "thresholds": results.thresholds,
        "recordings": recording_table(results, predictions, tested),
        "errors": results.errors,
        "confusion": confusion_table(results.confusion),
        "pr_curve": _curve_table(results.micro, ["recall", "precision", "threshold"]),
        "roc_curve": _curve_table(results.micro, ["fpr", "tpr", "threshold"]),
    }
    for name, table in tables.items():
        write_text(folder / f"{name}.csv", table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    write_text(folder / "summary.txt", "\n".join([summary(results), *map(str, problems), ""]))

    present, absent = _score_counts(units)
    save(plots.plot_pr_curves(results.micro, results.curves, _areas(results, "pr_auc")), folder / "pr_curves.png")
    save(plots.plot_roc_curves(results.micro, results.curves, _areas(results, "roc_auc")), folder / "roc_curves.png")
    save(plots.plot_confusion(results.confusion), folder / "confusion.png")
    save(plots.plot_scores(present, absent, results.threshold), folder / "scores.png")
    save(plots.plot_classes(results.classes), folder / "classes.png")


def summary(results: Results) -> str:
    """The main figures as a short text table."""
    figures = results.figures
    lines = [
        f"{figures['n_recordings']} recordings, {figures['n_segments']} segments, {figures['n_classes']} classes "
        f"({figures['n_classes_tested']} of them in the test set)",
        "",
        f"{'':<16}{'value':>7}   95 % interval",
    ]
    for name, label in FIGURES:
        if name in figures:
            low, high = figures.get(f"{name}_low"), figures.get(f"{name}_high")
            bounds = f"{low:.3f} to {high:.3f}" if low is not None and high is not None else ""
            lines.append(f"{label:<16}{figures[name]:>7.3f}   {bounds}".rstrip())
    lines.append("")
    lines.append(f"Precision, recall and F1 at threshold {results.threshold:g}.")
    if "best_threshold" in figures:
        lines.append(f"Best F1 at threshold {figures['best_threshold']:.2f}, chosen on these recordings.")
    if "event_f1" in figures:
        lines.append("Events: labels of infer matched one to one, IoU at least 0.5; onset: by their starts alone.")
    return "\n".join(lines) + "\n"


def write_event_report(folder: str | Path, results: EventResults) -> None:
    """Write the tables and the picture of an event-based evaluation into a folder, over what is there."""
    folder = Path(folder)
    for name, table in (("events", results.table), ("events_classes", results.classes)):
        write_text(folder / f"{name}.csv", table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    save(plots.plot_events(results.table), folder / "events.png")


def recording_table(results: Results, predictions: Predictions, tested: list[str]) -> pd.DataFrame:
    """recordings.csv: every recording of the test set, with its counts or the reason why it has none."""
    state = predictions.recordings.reindex(tested)[["seconds", "status", "reason"]]
    state["status"] = state["status"].fillna("not analyzed")
    table = state.rename_axis("recording").reset_index().merge(results.recordings, on="recording", how="left")
    return table.astype(dict.fromkeys(["segments", "tp", "fp", "fn"], "Int64")).sort_values("recording")


def confusion_table(confusion: Confusion) -> pd.DataFrame:
    """confusion.csv: actual, predicted, count and share (of the actual's units) of each pair that occurs."""
    row, column = np.nonzero(confusion.counts)
    return pd.DataFrame(
        {
            "actual": np.array(confusion.rows, dtype=object)[row],
            "predicted": np.array(confusion.columns, dtype=object)[column],
            "count": confusion.counts[row, column].astype(int),
            "share": confusion.counts[row, column] / confusion.totals[row],
            "of": confusion.by,
        }
    )


def write_example(path: str | Path, units: Units, contents: "Contents", predictions: Predictions) -> list[Problem]:
    """Picture of the recording with the most classes; of equals, with the most positive pairs, then the first by name.

    Writes no picture, and says so, where the recording cannot be read again.
    """
    pairs = by_recording(units.truth, units)
    index = int(np.lexsort((-pairs.sum(axis=1), -(pairs > 0).sum(axis=1)))[0])
    name, here = units.recordings[index], units.recording == index
    events = contents.annotations[contents.annotations["recording"] == name]
    try:
        figure = plots.plot_example(
            contents.recordings[name],
            events.assign(**{"class": predictions.known(events["class"])}).dropna(subset=["class"]),
            units.start_time[here],
            predictions.segment_len,
            units.scores[here],
            units.classes,
            title=name,
        )
    except (AudioError, OSError) as error:
        Path(path).unlink(missing_ok=True)
        return [Problem(name, f"no example picture ({error})", "see that the file can be read", lost=False)]
    save(figure, path)
    return []


def _curve_table(curve: Curve | None, columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame({name: getattr(curve, name) if curve else [] for name in columns})


def _areas(results: Results, area: str) -> dict[str, float]:
    areas = dict(zip(results.classes["class"], results.classes[area], strict=True))
    return {"micro": results.figures.get(f"micro_{area}", np.nan)} | areas


def _score_counts(units: Units) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of scores in equal bins of 0..1 where a class is present, and where it is absent."""
    present, absent = np.zeros(SCORE_BINS), np.zeros(SCORE_BINS)
    for truth, scores in zip(units.truth.T, units.scores.T, strict=True):
        present += np.histogram(scores[truth], SCORE_BINS, (0, 1))[0]
        absent += np.histogram(scores[~truth], SCORE_BINS, (0, 1))[0]
    return present, absent
