"""Pictures of an evaluation, each a function that returns a matplotlib Figure.

Colours are those of Okabe and Ito, which people with any colour vision tell apart, and the map viridis. Every picture
serves 2 as well as 60 classes: if there are too many to name in colour, the lowest are named and the others are grey.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import librosa
import librosa.display
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from lib.audio.reader import stream
from lib.config.schema import AudioSettings
from lib.core.files import atomic
from lib.evaluation.segment_metrics import Curve, Results
from lib.evaluation.segment_tallies import Confusion
from lib.models.platt_scaling import apply_platt

BLUE, ORANGE, GREEN, PINK, SKY, RED = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"
COLORS = [ORANGE, GREEN, PINK, SKY, RED, "#8A6D00", "#5E3C99", "#7F7F7F"]
GREY = "#BBBBBB"
NAMED = 5
"""Curves with a colour and a name if there are more classes than colours."""
NAME_WIDTH = 24
"""Characters of a class name in a picture."""
EXAMPLE_SECONDS = 60.0
EXAMPLE_COLUMNS = 4000
EXAMPLE_ROWS = 14
LABELLED_COLUMNS = 16
"""Up to that many columns, cells of a confusion have their numbers written in."""
CONFUSED_CLASSES = 60
"""Rows and columns of a confusion that are drawn, at most."""
CONFUSION_LABELS = {
    "recording": ("Class with the highest mean score", "True class", " (recordings)"),
    "segment": ("Class found (beside the diagonal: though absent)", "Class present", " (% of the row's segments)"),
    "clip": ("Class found (beside the diagonal: though absent)", "Class present", " (% of the row's clips)"),
}
DPI = 150


def plot_pr_curves(results: Results) -> Figure:
    """Precision over recall: all classes together, and each."""
    figure, axes = _square("Recall", "Precision", "Precision and recall")
    _draw_curves(axes, results, ("recall", "precision"), "pr_auc", drawstyle="steps-pre")
    return figure


def plot_roc_curves(results: Results) -> Figure:
    """True positive rate over false positive rate: all classes together, and each."""
    figure, axes = _square("False positive rate", "True positive rate", "ROC")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
    _draw_curves(axes, results, ("fpr", "recall"), "roc_auc", drawstyle="default")
    return figure


def plot_confusion(confusion: Confusion) -> Figure:
    """Rows: what is present (without classes that never are). Columns: what was found, coloured by share of the row.

    Of more than CONFUSED_CLASSES, those that are confused most often are shown: a picture of hundreds takes gigabytes.
    """
    n_classes = len(confusion.columns)
    present, columns = _most_confused(confusion)
    counts = confusion.counts[np.ix_(present, columns)]
    shares = counts / confusion.totals[present, None]
    n_rows, n_columns = counts.shape
    is_small = n_columns <= LABELLED_COLUMNS
    cell, font = (0.55, 9) if is_small else (0.22, 6)
    xlabel, ylabel, unit = CONFUSION_LABELS[confusion.by]
    figure = Figure(figsize=(3.4 + cell * n_columns, 2.8 + cell * max(n_rows, 3)), layout="constrained")
    axes = figure.subplots()
    norm = PowerNorm(0.5, 0, 1)  # rare confusions must show beside the diagonal
    image = axes.imshow(shares.reshape(-1, n_columns), cmap="viridis", norm=norm)
    axes.set_xticks(
        range(n_columns), short(confusion.columns[column] for column in columns), rotation=90, fontsize=font
    )
    axes.set_yticks(range(n_rows), short(confusion.rows[row] for row in present), fontsize=font)
    axes.set_xticks(np.arange(n_columns - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(n_rows - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=0.4)
    axes.tick_params(which="both", length=0)
    title = f"Confusion{unit if is_small else ''}"
    if len(columns) < n_classes:
        title = "Confusion of the classes that are confused most often"
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    numbers = counts if confusion.by == "recording" else 100 * shares
    for row, column in np.argwhere(counts) if is_small else ():
        text = f"{numbers[row, column]:.0f}" if numbers[row, column] >= 0.5 else "<1"
        color = "black" if norm(shares[row, column]) > 0.6 else "white"
        axes.text(column, row, text, ha="center", va="center", fontsize=font, color=color)
    bar = figure.colorbar(image, ax=axes, shrink=min(1, 25 / n_columns), pad=0.02, aspect=25)
    bar.set_ticks([0, 0.05, 0.2, 0.4, 0.6, 0.8, 1])
    bar.set_label(f"Share of the row's {confusion.by}s")
    return figure


def _most_confused(confusion: Confusion) -> tuple[np.ndarray, np.ndarray]:
    """Rows of what is present, and columns, both int, in their order; at most CONFUSED_CLASSES of each."""
    present = np.flatnonzero(confusion.totals)
    is_same = np.array(confusion.rows)[present, None] == np.array(confusion.columns)
    mistaken = np.where(is_same, 0, confusion.counts[present] / confusion.totals[present, None])
    rows, columns = (np.argsort(-mistaken.sum(axis=axis), kind="stable")[:CONFUSED_CLASSES] for axis in (1, 0))
    return present[np.sort(rows)], np.sort(columns)


def plot_scores(positives: np.ndarray, negatives: np.ndarray, threshold: float) -> Figure:
    """Distribution of scores where a class is present and where it is absent: counts (bins,) in equal bins of 0..1."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    edges = np.linspace(0, 1, len(positives) + 1)
    for counts, color, label in ((negatives, ORANGE, "class absent"), (positives, BLUE, "class present")):
        shares = counts / max(1, counts.sum())
        axes.stairs(shares, edges, fill=True, color=color, alpha=0.35)
        axes.stairs(shares, edges, color=color, linewidth=1.6, label=f"{label} ({int(counts.sum()):,} pairs)")
    axes.axvline(threshold, color="black", linestyle="--", linewidth=1, label=f"threshold {threshold:g}")
    axes.set(xlim=(0, 1), xlabel="Score", ylabel="Share of pairs", title="Scores of segments and classes", yscale="log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(top=1.5)
    axes.grid(alpha=0.3)
    axes.legend(loc="upper center", frameon=True)
    return figure


def plot_classes(classes: pd.DataFrame) -> Figure:
    """PR-AUC of each class with its interval, best on top. classes: the table of Results."""
    tested = classes.dropna(subset=["pr_auc"]).sort_values("pr_auc", ascending=True, kind="stable")
    rows = max(len(tested), 1)
    step, font = (0.32, 9) if rows <= 30 else (0.18, 7)
    figure = Figure(figsize=(7, 1.4 + step * rows), layout="constrained")
    axes = figure.subplots()
    position = np.arange(len(tested))
    axes.barh(position, tested["pr_auc"], height=0.7, color=SKY)
    low, high = tested["pr_auc_low"], tested["pr_auc_high"]
    axes.hlines(position, low, high, color="black", linewidth=1.2)
    axes.plot(tested["pr_auc"], position, ".", color="black", markersize=5)
    labels = [f"{name} ({count})" for name, count in zip(short(tested["class"]), tested["positives"], strict=True)]
    axes.set_yticks(position, labels, fontsize=font)
    axes.set(xlim=(0, 1.01), ylim=(-0.6, rows - 0.4), xlabel="PR-AUC with 95 % interval (segments with the class)")
    axes.set_title("Classes")
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    return figure


def plot_events(table: pd.DataFrame) -> Figure:
    """Precision, recall and F1 of events with their intervals: over IoU, and with a collar.

    table: that of EventResults.
    """
    figure = Figure(figsize=(9, 5), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 1])
    ious, collars = table[table["criterion"] == "iou"], table[table["criterion"] != "iou"]
    position = np.arange(len(collars))
    annotated, found = table["annotated"].max(), table["found"].max()
    curves = (("precision", "precision", SKY), ("recall", "recall", ORANGE), ("f1", "F1", BLUE)) if annotated else ()
    for shift, (name, label, color) in enumerate(curves, start=-1):
        width = 2.4 if name == "f1" else 1.6
        left.fill_between(
            ious["value"], ious[f"{name}_low"], ious[f"{name}_high"], color=color, alpha=0.18, linewidth=0
        )
        left.plot(ious["value"], ious[name], "o-", color=color, label=label, linewidth=width, markersize=4)
        shifted = position + 0.18 * shift
        right.vlines(shifted, collars[f"{name}_low"], collars[f"{name}_high"], color=color, alpha=0.5, linewidth=5)
        right.plot(shifted, collars[name], "o", color=color, markersize=7, markeredgecolor="white")
    left.set(xlim=(0.08, 0.92), ylim=(-0.01, 1.01), xlabel="Least intersection over union of label and event")
    left.set_ylabel("Value (all classes pooled) with 95 % interval")
    left.set_xticks(ious["value"])
    left.set_title(f"Events: {annotated:,} annotated, {found:,} found")
    if annotated:
        left.legend(loc="upper right", frameon=True)
    else:
        left.text(0.5, 0.5, "no events are annotated, only whole recordings", ha="center")
    right.set_xticks(position, [name.replace(" and ", "\nand ") for name in collars["criterion"]])
    right.set(xlim=(-0.6, len(collars) - 0.4), title=f"Within {collars['value'].max():g} s")
    for axes in (left, right):
        axes.grid(axis="y", alpha=0.3)
        axes.set_axisbelow(True)
    return figure


def plot_example(
    title: str,
    file: Path,
    audio: AudioSettings,
    events: pd.DataFrame,
    start_time: np.ndarray,
    segment_len: float,
    scores: np.ndarray,
    classes: list[str],
) -> Figure:
    """One recording as a person and as the model sees it, at most its first 60 s.

    Above, what is annotated; in the middle, the spectrogram; below, the model's scores of each segment.

    Args:
        title: above the picture.
        file: the recording.
        audio: how the model hears it.
        events: its annotations, a table.
        start_time: where its segments begin, float (n,), s.
        segment_len: s.
        scores: (n, c), 0..1.
        classes: c names.

    Raises AudioError if the file cannot be read.
    """
    samples = _beginning(file, audio.sampling_rate)
    seconds = len(samples) / audio.sampling_rate
    events, is_shown = events[events["start_time"] < seconds], start_time < seconds
    start_time, scores = start_time[is_shown], scores[is_shown]
    rows = _example_rows(events, scores, classes)
    lanes = max(1, len(rows))

    figure = Figure(figsize=(11, 4.2 + 0.46 * lanes), layout="constrained")
    heights = [0.23 * lanes, 2.6, 0.23 * lanes]
    above, middle, below = figure.subplots(3, 1, sharex=True, height_ratios=heights)
    _draw_events(above, events, rows, seconds)
    _draw_spectrogram(figure, middle, samples, audio)
    _draw_scores(figure, below, start_time, segment_len, scores[:, [classes.index(name) for name in rows]])
    for axes in (above, below):
        axes.set_yticks(range(len(rows)), short(rows), fontsize=8)
        axes.set_ylim(lanes - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
    above.tick_params(axis="x", length=0)
    above.set_title(title, fontsize=11)
    above.set_ylabel("Annotated")
    middle.set_ylabel("Frequency (kHz)")
    below.set(xlabel="Time (s)", ylabel="Scored", xlim=(0, seconds))
    below.xaxis.set_major_locator(MaxNLocator(12, steps=[1, 2, 5, 10]))
    figure.align_ylabels()
    return figure


def _beginning(file: Path, rate: int) -> np.ndarray:
    """The first EXAMPLE_SECONDS of a recording at that sampling rate."""
    wanted = int(EXAMPLE_SECONDS * rate)
    samples = np.zeros(0, np.float32)
    for block in stream(file, rate):
        samples = np.concatenate([samples, block])
        if len(samples) >= wanted:
            break
    return samples[:wanted]


def _example_rows(events: pd.DataFrame, scores: np.ndarray, classes: list[str]) -> list[str]:
    """Classes to show, in the model's order: those annotated, then those with the highest scores."""
    annotated = set(events["class"])
    peaks = scores.max(axis=0, initial=0)
    order = sorted(range(len(classes)), key=lambda index: (classes[index] not in annotated, -peaks[index]))
    return [classes[index] for index in sorted(order[:EXAMPLE_ROWS])]


def _draw_events(axes: Axes, events: pd.DataFrame, rows: list[str], seconds: float) -> None:
    for lane, name in enumerate(rows):
        spans = events[events["class"] == name]
        ends = np.minimum(spans["end_time"], seconds)
        axes.broken_barh(list(zip(spans["start_time"], ends - spans["start_time"], strict=True)), (lane - 0.35, 0.7),
                         facecolor=BLUE, edgecolor="white", linewidth=0.5)  # fmt: skip
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)


def _draw_spectrogram(figure: Figure, axes: Axes, samples: np.ndarray, audio: AudioSettings) -> None:
    """The band that the model hears, on its scale, as finely as its windows resolve it."""
    hop = max(audio.hop_length, len(samples) // EXAMPLE_COLUMNS)
    size: dict[str, Any] = {"n_fft": 2 * audio.win_length, "win_length": audio.win_length, "hop_length": hop}
    limits: dict[str, Any] = {"fmin": audio.min_freq, "fmax": audio.max_freq}
    if audio.freq_scale == "mel":
        power = librosa.feature.melspectrogram(
            y=samples, sr=audio.sampling_rate, n_mels=min(128, audio.win_length // 8), **size, **limits
        )
    else:
        power = np.abs(librosa.stft(samples, **size)) ** 2
    levels = librosa.power_to_db(power, ref=np.max, top_db=70)
    image = librosa.display.specshow(
        levels, sr=audio.sampling_rate, x_axis="s", y_axis=audio.freq_scale, cmap="magma", ax=axes, rasterized=True,
        **size, **limits,
    )  # fmt: skip
    axes.set(xlabel="", ylim=(audio.min_freq, audio.max_freq))
    if audio.freq_scale != "linear":
        lowest = 0 if audio.freq_scale == "mel" and audio.max_freq > 1000 else -5  # mel is nearly linear below 1 kHz
        octaves = 500 * 2.0 ** np.arange(lowest, 12)
        axes.set_yticks([hertz for hertz in octaves if audio.min_freq <= hertz <= audio.max_freq])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda hertz, _: f"{hertz / 1000:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    bar = figure.colorbar(image, ax=axes, pad=0.01, aspect=20)
    bar.set_label("Level (dB)")


def _draw_scores(figure: Figure, axes: Axes, start_time: np.ndarray, segment_len: float, scores: np.ndarray) -> None:
    """A cell for each segment; overlapping ones meet halfway between their middles."""
    middles = start_time + segment_len / 2
    between = (middles[1:] + middles[:-1]) / 2
    edges = np.concatenate([start_time[:1], between, start_time[-1:] + segment_len])
    lanes = np.arange(scores.shape[1] + 1) - 0.5
    image = axes.pcolormesh(edges, lanes, scores.T, cmap="viridis", vmin=0, vmax=1, rasterized=True)
    bar = figure.colorbar(image, ax=axes, pad=0.01, aspect=10, ticks=[0, 0.5, 1])
    bar.set_label("Score")


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG. Raises OSError."""
    with atomic(path) as part:
        figure.savefig(part, dpi=DPI, format="png")


def _square(xlabel: str, ylabel: str, title: str) -> tuple[Figure, Axes]:
    """Axes of two values in 0..1, with room for a legend beside them."""
    figure = Figure(figsize=(9, 5.4), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title, xlim=(-0.01, 1.01), ylim=(-0.01, 1.02), aspect="equal")
    axes.grid(alpha=0.3)
    return figure, axes


def _draw_curves(axes: Axes, results: Results, fields: tuple[str, str], area: str, drawstyle: str) -> None:
    """The curve of all pairs, and those of the classes with the lowest areas in colour. fields: x and y of a Curve."""
    areas = results.classes.set_index("class")[area]
    lowest_first = sorted(results.curves, key=areas.__getitem__)
    n_named = len(lowest_first) if len(lowest_first) <= len(COLORS) else NAMED

    def draw(curve: Curve, color: str, label: str | None, width: float, zorder: int) -> None:
        x, y = (getattr(curve, field) for field in fields)
        axes.plot(x, y, color=color, label=label, drawstyle=drawstyle, linewidth=width, zorder=zorder)

    if results.micro:
        micro = results.figures["micro_" + area.removesuffix("_auc")]
        draw(results.micro, BLUE, f"all pairs (micro)  {micro:.2f}", 2.5, 4)
    for color, name in zip(COLORS, lowest_first[:n_named], strict=False):
        draw(results.curves[name], color, f"{short([name])[0]}  {areas[name]:.2f}", 1.2, 3)
    for index, name in enumerate(lowest_first[n_named:]):
        others = f"the {len(lowest_first) - n_named} other classes" if index == 0 else None
        draw(results.curves[name], GREY, others, 0.7, 2)
    if results.micro or lowest_first:
        title = "Area under the curve" if n_named == len(lowest_first) else f"Area under the curve, {NAMED} lowest"
        axes.legend(title=title, loc="upper left", bbox_to_anchor=(1.02, 1), frameon=False)


def short(names: Iterable[str]) -> list[str]:
    """Names that fit beside a picture, with dollar signs escaped, which would start a formula."""
    cut = (name if len(name) <= NAME_WIDTH else name[: NAME_WIDTH - 1] + "…" for name in names)
    return [name.replace("$", r"\$") for name in cut]


def plot_calibration(
    truth: np.ndarray, scores: np.ndarray, coefficient: float, intercept: float, n_bins: int = 15
) -> Figure:
    """Reliability of scores (n,) as they are and scaled, above the number of samples in each bin."""
    from sklearn.calibration import calibration_curve

    figure = Figure(figsize=(7, 7), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    above.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="scores that are probabilities")
    scaled = apply_platt(scores.astype(np.float64), coefficient, intercept)
    label = f"scaled (coefficient {coefficient:.2f}, intercept {intercept:.2f})"
    for values, color, name in ((scores, ORANGE, "as scored"), (scaled, BLUE, label)):
        share, mean = calibration_curve(truth, values, n_bins=n_bins)
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


def plot_lines(x: np.ndarray, lines: dict[str, np.ndarray], xlabel: str, title: str) -> Figure:
    """Values in 0..1 over others in 0..1. lines: label -> values, of the length of x."""
    figure = Figure(figsize=(9, 4.4), layout="constrained")
    axes = figure.subplots()
    for color, (label, values) in zip([BLUE, *COLORS], lines.items(), strict=False):
        axes.plot(x, values, color=color, label=label, linewidth=1.8)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02), xlabel=xlabel, title=title)
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1), frameon=False)
    return figure


def plot_curve(
    x: np.ndarray, y: np.ndarray, xlabel: str, ylabel: str, title: str, label: str, chance: bool = False
) -> Figure:
    """One value in 0..1 over another. chance: whether to draw the diagonal, too, that a random ROC curve follows."""
    figure, axes = _square(xlabel, ylabel, title)
    if chance:
        axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1, label="by chance")
    axes.plot(x, y, color=BLUE, linewidth=2, label=label)
    axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1), frameon=False)
    return figure
