"""The report folder: tables for other programs, pictures and a summary for people."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lib.core.csv_files import write_table
from lib.core.errors import AudioError, Problem
from lib.core.files import write_text
from lib.evaluation import metrics_plots as plots
from lib.evaluation.event_metrics import EventResults
from lib.evaluation.metrics import group_sums
from lib.evaluation.segment_metrics import Confusion, Curve, Results
from lib.evaluation.units import Units
from lib.results.results_store import ResultsStore

if TYPE_CHECKING:
    from lib.formats.data_sets import DataSet

FIGURES = (
    *("macro_pr_auc", "micro_pr_auc", "macro_roc_auc", "micro_roc_auc"),
    *("precision", "recall", "f1", "best_f1", "accuracy"),
    *("event_precision", "event_recall", "event_f1", "event_onset_f1"),
)
"""Those that the summary lists."""
SCORE_BINS = 50


def write_report(
    folder: str | Path,
    results: Results,
    events: EventResults,
    units: Units,
    data_set: "DataSet",
    store: ResultsStore,
    problems: list[Problem],
) -> tuple[list[Path], list[Problem]]:
    """Write tables, pictures and a summary into a folder, over what is there; returns their paths.

    Args:
        folder: metrics/report of the evaluate stage.
        results, events: what was measured.
        units: on which segments.
        data_set: the test set.
        store: its results.
        problems: what the summary lists at its end.

    Returns also a problem of the example picture, if there is one.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    points = pd.DataFrame(vars(results.micro) if results.micro else [], columns=[field.name for field in fields(Curve)])
    tables = {
        "classes": results.classes,
        "thresholds": results.thresholds,
        "recordings": _recording_table(results, store, list(data_set.recordings)),
        "errors": results.errors,
        "confusion": _confusion_table(results.confusion),
        "pr_curve": points[["recall", "precision", "threshold"]],
        "roc_curve": points.rename(columns={"recall": "tpr"})[["fpr", "tpr", "threshold"]],
        "events": events.table,
        "events_classes": events.classes,
    }
    pictures = {
        "pr_curves": plots.plot_pr_curves(results),
        "roc_curves": plots.plot_roc_curves(results),
        "confusion": plots.plot_confusion(results.confusion),
        "scores": plots.plot_scores(*_score_counts(units), results.threshold),
        "classes": plots.plot_classes(results.classes),
        "events": plots.plot_events(events.table),
    }
    for name, table in tables.items():
        write_table(folder / f"{name}.csv", table)
    for name, figure in pictures.items():
        plots.save(figure, folder / f"{name}.png")
    summary = summary_text(results.figures, results.threshold)
    write_text(folder / "summary.txt", "\n".join([summary, *map(str, problems), ""]))
    example_problems = _write_example(folder / "example.png", units, data_set, store)
    written = [folder / f"{name}.csv" for name in tables] + [folder / f"{name}.png" for name in pictures]
    example = [] if example_problems else [folder / "example.png"]
    return [*written, *example, folder / "summary.txt"], example_problems


def summary_text(figures: Mapping[str, float], threshold: float) -> str:
    """The main figures, of Results at that threshold, as a short text table."""
    lines = [
        f"{figures['n_recordings']} recordings, {figures['n_segments']} segments, {figures['n_classes']} classes "
        f"({figures['n_classes_tested']} of them in the test set)",
        "",
        f"{'':<16}{'value':>7}   95 % interval",
    ]
    for name in FIGURES:
        if name in figures:
            label = name.replace("pr_auc", "PR-AUC").replace("roc_auc", "ROC-AUC").replace("f1", "F1").replace("_", " ")
            low, high = figures.get(f"{name}_low"), figures.get(f"{name}_high")
            bounds = f"{low:.3f} to {high:.3f}" if low is not None and high is not None else ""
            lines.append(f"{label:<16}{figures[name]:>7.3f}   {bounds}".rstrip())
    lines.append("")
    lines.append(f"Precision, recall and F1 at threshold {threshold:g}.")
    if "best_threshold" in figures:
        lines.append(f"Best F1 at threshold {figures['best_threshold']:.2f}, chosen on these recordings.")
    if "event_f1" in figures:
        lines.append("Events: labels of infer matched one to one, IoU at least 0.5; onset: by their starts alone.")
    return "\n".join(lines) + "\n"


def _recording_table(results: Results, store: ResultsStore, tested: list[str]) -> pd.DataFrame:
    """recordings.csv: every recording of the test set, with its counts or why it has none."""
    known, rows = store.recordings(), []
    for name, result in ((name, known.get(name)) for name in tested):
        status = "not analyzed" if result is None else "ok" if result.is_ok else "failed"
        rows.append((name, result and result.seconds, status, result and result.reason))
    state = pd.DataFrame(rows, columns=["recording", "seconds", "status", "reason"])
    table = state.merge(results.recordings, on="recording", how="left")
    return table.astype(dict.fromkeys(["segments", "tp", "fp", "fn"], "Int64")).sort_values("recording")


def _confusion_table(confusion: Confusion) -> pd.DataFrame:
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


def _write_example(path: Path, units: Units, data_set: "DataSet", store: ResultsStore) -> list[Problem]:
    """Picture of the recording with the most classes; of equals, with the most positive pairs, then the first by name.

    Writes no picture, and returns a problem, if the recording cannot be read again.
    """
    pairs = group_sums(units.truth, units.recording, len(units.recordings))
    index = int(np.lexsort((-pairs.sum(axis=1), -(pairs > 0).sum(axis=1)))[0])
    name, here, manifest = units.recordings[index], units.recording == index, store.manifest
    events = data_set.annotations[data_set.annotations["recording"] == name]
    events = events.assign(**{"class": events["class"].map(manifest.class_list.resolve)})
    segments = units.start_time[here], manifest.segment_len, units.scores[here], units.classes
    try:
        figure = plots.plot_example(name, data_set.recordings[name], events, *segments)
    except (AudioError, OSError) as error:
        path.unlink(missing_ok=True)
        return [Problem(name, f"no example picture ({error})", "see that the file can be read", lost=False)]
    plots.save(figure, path)
    return []


def _score_counts(units: Units) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of scores in equal bins of 0..1 where a class is present, and where it is absent."""
    present, absent = np.zeros(SCORE_BINS), np.zeros(SCORE_BINS)
    for truth, scores in zip(units.truth.T, units.scores.T, strict=True):
        present += np.histogram(scores[truth], SCORE_BINS, (0, 1))[0]
        absent += np.histogram(scores[~truth], SCORE_BINS, (0, 1))[0]
    return present, absent
