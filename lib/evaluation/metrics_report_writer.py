"""The report folder: figures and tables for other programs, pictures and a summary for people."""

from collections.abc import Mapping
from dataclasses import fields
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lib.config.schema import AudioSettings
from lib.core.csv_files import write_table
from lib.core.errors import AudioError, Problem
from lib.core.files import write_json, write_text
from lib.core.wording import counted
from lib.evaluation import metrics_plots as plots
from lib.evaluation.event_metrics import EventResults
from lib.evaluation.figures import COMPARED, FILE, MEASURED, interval, title
from lib.evaluation.segment_metrics import Curve, Results
from lib.evaluation.segment_tallies import Confusion
from lib.results.results_store import ResultsStore

if TYPE_CHECKING:
    from lib.formats.data_sets import DataSet


def write_report(
    folder: str | Path,
    results: Results,
    events: EventResults,
    data_set: "DataSet",
    store: ResultsStore,
    problems: list[Problem],
) -> tuple[list[Path], list[Problem]]:
    """Write figures, tables, pictures and a summary into a folder, over what is there; returns their paths.

    Args:
        folder: metrics/report of the evaluate stage.
        results, events: what was measured.
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
        "scores": plots.plot_scores(*results.scores, results.threshold),
        "classes": plots.plot_classes(results.classes),
        "events": plots.plot_events(events.table),
    }
    for name, table in tables.items():
        write_table(folder / f"{name}.csv", table)
    for name, figure in pictures.items():
        plots.save(figure, folder / f"{name}.png")
    summary = summary_text(results.figures, results.threshold)
    write_text(folder / "summary.txt", "\n".join([summary, *map(str, problems), ""]))
    example_problems = _write_example(folder / "example.png", results.example, data_set, store)
    write_json(folder / FILE, results.figures)
    written = [folder / f"{name}.csv" for name in tables] + [folder / f"{name}.png" for name in pictures]
    example = [] if example_problems else [folder / "example.png"]
    return [*written, *example, folder / "summary.txt", folder / FILE], example_problems


def summary_text(figures: Mapping[str, float], threshold: float) -> str:
    """The main figures, of Results at that threshold, as a short text table."""
    lines = [
        _size_text(figures),
        "",
        f"{'':<16}{'value':>7}   95 % interval",
    ]
    for name in MEASURED:
        if name in figures:
            lines.append(f"{title(name):<16}{figures[name]:>7.3f}   {interval(name, figures)}".rstrip())
    lines.append("")
    lines.append(f"Precision, recall and F1 at threshold {threshold:g}.")
    if "best_threshold" in figures:
        lines.append(f"Best F1 at threshold {figures['best_threshold']:.2f}, chosen on these recordings.")
    if "event_f1" in figures:
        lines.append("Events: labels of infer matched one to one, IoU at least 0.5; onset: by their starts alone.")
    return "\n".join(lines) + "\n"


def summary_line(figures: Mapping[str, float]) -> str:
    """The main figure, and what it is about, in a line."""
    name, value = COMPARED[0], figures.get(COMPARED[0], float("nan"))
    shown = f"{value:.3f} ({interval(name, figures) or 'no interval'})" if value == value else "cannot be measured"
    return f"{_size_text(figures)}: {title(name)} {shown}"


def _size_text(figures: Mapping[str, float]) -> str:
    recordings, segments = int(figures["n_recordings"]), int(figures["n_segments"])
    classes = f"{counted(int(figures['n_classes']), 'class', 'classes')} ({figures['n_classes_tested']} measured)"
    return f"{counted(recordings, 'recording')}, {counted(segments, 'segment')}, {classes}"


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


def _write_example(path: Path, name: str, data_set: "DataSet", store: ResultsStore) -> list[Problem]:
    """Picture of the beginning of a recording.

    Writes no picture, and returns a problem, if the recording cannot be read again.
    """
    manifest = store.manifest
    events = data_set.annotations[data_set.annotations["recording"] == name]
    events = events.assign(**{"class": events["class"].map(manifest.class_list.resolve)})
    names = manifest.class_list.names
    nothing = np.zeros(0), np.zeros((0, len(names)), np.float32)
    beginning = takewhile(lambda block: block[0][0] < plots.EXAMPLE_SECONDS, store.windows(name))
    start_time, scores = map(np.concatenate, zip(nothing, *beginning, strict=True))
    segments = start_time, manifest.segment_len, scores, names
    try:
        audio = AudioSettings.model_validate(manifest.audio)
        figure = plots.plot_example(name, data_set.recordings[name], audio, events, *segments)
    except (AudioError, OSError) as error:
        path.unlink(missing_ok=True)
        return [Problem(name, f"no example picture ({error})", "see that the file can be read", lost=False)]
    plots.save(figure, path)
    return []
