"""Files of a test by clips: predictions (JSON), figures (YAML), and pictures."""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from matplotlib.figure import Figure

from lib.core.files import atomic_text, fitting_name, printable, write_text
from lib.core.progress import progress
from lib.evaluation import clip_plots as plots
from lib.evaluation.clip_metrics import FIGURES, classes_found, clip_figures
from lib.evaluation.clips import Clips
from lib.evaluation.metrics_plots import plot_confusion, save

PREDICTIONS, SCORES, METRICS = "predictions.json", "scores.json", "metrics.yaml"
ROC, METRIC_HIST, CONFUSION, INSTRUMENT_METRICS = (
    "roc.png",
    "metric_hist.png",
    "confusion.png",
    "instrument_metrics.png",
)
PAIRS = "confusion"
"""Folder of the confusion matrices of class pairs, a picture for each class."""


def write_predictions(folder: Path, clips: Clips, threshold: float | np.ndarray) -> list[Path]:
    """Write two files of clip -> class -> number: whether it is found, 0 or 1, and its score."""
    _write_rows(folder / PREDICTIONS, clips, (classes_found(row, threshold).astype(int) for row in clips.scores))
    _write_rows(folder / SCORES, clips, (row.astype(np.float64).round(6) for row in clips.scores))
    return [folder / PREDICTIONS, folder / SCORES]


def _write_rows(path: Path, clips: Clips, rows: Iterable[np.ndarray]) -> None:
    """Write the row of each clip (n_classes,) as a line of JSON, so that only one is in memory as objects."""
    with atomic_text(path) as file:
        file.write("{")
        for index, (clip, row) in enumerate(zip(clips.names, rows, strict=True)):
            content = json.dumps(dict(zip(clips.classes, row.tolist(), strict=True)), ensure_ascii=False)
            file.write(f"{',' if index else ''}\n  {json.dumps(clip, ensure_ascii=False)}: {content}")
        file.write("\n}\n")


def write_metrics(
    path: Path, clips: Clips, sets: Mapping[str, Collection[str]], threshold: float | np.ndarray
) -> dict[str, list]:
    """Write the figures of clips, of all together and of each data set.

    Args:
        path: YAML file of name -> figure, see lib.evaluation.clip_metrics, and, if there are several data sets,
            `data_sets` of data set -> name -> figure.
        clips: of all data sets.
        sets: names of the clips of each data set, by what it is called.
        threshold: lowest score of a class that is found, one for all or one for each.

    Returns the figures as a table without those of classes: `metric`, and a column for each data set and for `all`.
    """
    parts = {name: clips.of(names) for name, names in sets.items()}
    figures = {name: _figures(part, threshold) for name, part in parts.items()}
    overall = {"threshold": np.asarray(threshold).tolist()} | _figures(clips, threshold, clips.classes)
    content = overall | ({"data_sets": figures} if len(sets) > 1 else {})
    write_text(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    rows = ["n_clips", *(name for name in overall if name in FIGURES)]
    columns = (figures if len(sets) > 1 else {}) | {"all": overall}
    return {"metric": rows} | {name: [_shown(column.get(row)) for row in rows] for name, column in columns.items()}


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}" if isinstance(value, float) else f"{value:,}"


def _figures(clips: Clips, threshold: float | np.ndarray, classes: Sequence[str] | None = None) -> dict[str, Any]:
    n = len(clips.names)
    return {"n_clips": n} | (clip_figures(clips.truth, clips.scores, threshold, classes) if n else {})


def write_pictures(
    folder: Path,
    clips: Clips,
    threshold: float | np.ndarray,
    *,
    roc: bool = False,
    metric_hist: bool = False,
    confusion: bool = False,
    instrument_metrics: bool = False,
) -> list[Path]:
    """Write the pictures that are wanted into a folder, and remove those of an earlier test that are not.

    Args:
        folder: gets roc.png, metric_hist.png, instrument_metrics.png, confusion.png and the folder confusion.
        clips, threshold: as for write_metrics.
        roc, metric_hist, confusion, instrument_metrics: whether each is wanted.
    """
    draw: dict[Path, Callable[[], Figure]] = {}
    if roc:
        draw[folder / ROC] = partial(plots.plot_clip_roc, clips)
    if metric_hist:
        draw[folder / METRIC_HIST] = partial(plots.plot_metric_histograms, clips, threshold)
    if instrument_metrics:
        draw[folder / INSTRUMENT_METRICS] = partial(plots.plot_class_metrics, clips, threshold)
    if confusion:
        draw[folder / CONFUSION] = lambda: plot_confusion(clips.confusion(threshold))
        for path, name in zip(_pair_files(folder, clips.classes), clips.classes, strict=True):
            draw[path] = partial(plots.plot_class_pairs, clips, name, threshold)
    earlier = [folder / name for name in (ROC, METRIC_HIST, CONFUSION, INSTRUMENT_METRICS)]
    for path in [*earlier, *(folder / PAIRS).glob("*.png")]:
        if path not in draw:
            path.unlink(missing_ok=True)
    for path, figure in progress(draw.items(), "draw", len(draw), "pictures"):
        save(figure(), path)
    return list(draw)


def _pair_files(folder: Path, classes: list[str]) -> list[Path]:
    """A file for each class, called like it as far as file systems allow; classes of one file name get numbers."""
    stems = [printable(name).replace("/", "_").lstrip(".") for name in classes]
    folded = [stem.casefold() for stem in stems]
    numbers = [f"-{index}" if folded.count(stem) > 1 or not stem else "" for index, stem in enumerate(folded, 1)]
    return [
        folder / PAIRS / fitting_name(stem, f"{number}.png", more=6)
        for stem, number in zip(stems, numbers, strict=True)
    ]
