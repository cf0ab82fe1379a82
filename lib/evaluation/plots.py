"""Pictures of an evaluation, each a function that returns a matplotlib Figure.

Colours are those of Okabe and Ito, which people with any colour vision tell apart, and the map viridis. Every picture
serves 2 as well as 60 classes: where there are too many to name in colour, the lowest are named and the rest is grey.
"""

from collections.abc import Iterable
from pathlib import Path

import librosa
import librosa.display
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from lib.audio.reader import probe, stream
from lib.evaluation.results import Confusion, Curve
from lib.models.calibration import apply_platt

BLUE, ORANGE, GREEN, PINK, SKY, RED = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"
COLORS = [ORANGE, GREEN, PINK, SKY, RED, "#8A6D00", "#5E3C99", "#7F7F7F"]
GREY = "#BBBBBB"
NAMED = 5  # curves with a colour and a name where there are more classes than colours
NAME_WIDTH = 24  # characters of a class name in a picture
EXAMPLE_SECONDS = 60.0
EXAMPLE_ROWS = 14
LABELLED_COLUMNS = 16
DPI = 150


def plot_pr_curves(micro: Curve | None, curves: dict[str, Curve], areas: dict[str, float]) -> Figure:
    """Precision over recall: all classes together, and each. areas: class name, or `micro`, -> PR-AUC."""
    figure, axes = square("Recall", "Precision", "Precision and recall")
    lines = [(name, curve.recall, curve.precision) for name, curve in curves.items()]
    pooled = (micro.recall, micro.precision) if micro else None
    _draw_curves(axes, pooled, lines, areas, drawstyle="steps-pre")
    return figure


def plot_roc_curves(micro: Curve | None, curves: dict[str, Curve], areas: dict[str, float]) -> Figure:
    """True positive rate over false positive rate: all classes together, and each. areas: -> ROC-AUC."""
    figure, axes = square("False positive rate", "True positive rate", "ROC")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
    lines = [(name, curve.fpr, curve.tpr) for name, curve in curves.items()]
    _draw_curves(axes, (micro.fpr, micro.tpr) if micro else None, lines, areas, drawstyle="default")
    return figure


def plot_confusion(confusion: Confusion) -> Figure:
    """Rows: what is there (classes that never are have none). Columns: what was found, coloured by share of the row.

    Up to 16 columns have their numbers written in: percents of the row's segments, or recordings.
    """
    present = np.flatnonzero(confusion.totals)
    counts = confusion.counts[present]
    shares = counts / confusion.totals[present, None]
    n_rows, n_columns = counts.shape
    small = n_columns <= LABELLED_COLUMNS
    cell, font = (0.55, 9) if small else (0.22, 6)
    figure = Figure(figsize=(3.4 + cell * n_columns, 2.8 + cell * max(n_rows, 3)), layout="constrained")
    axes = figure.subplots()
    norm = PowerNorm(0.5, 0, 1)  # rare confusions must show beside the diagonal
    image = axes.imshow(shares.reshape(-1, n_columns), cmap="viridis", norm=norm)
    axes.set_xticks(range(n_columns), short(confusion.columns), rotation=90, fontsize=font)
    axes.set_yticks(range(n_rows), short(confusion.rows[row] for row in present), fontsize=font)
    axes.set_xticks(np.arange(n_columns - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(n_rows - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=0.4)
    axes.tick_params(which="both", length=0)
    by_recording = confusion.by == "recording"
    if small:
        for row, column in zip(*np.nonzero(counts), strict=True):
            number = counts[row, column] if by_recording else 100 * shares[row, column]
            color = "black" if norm(shares[row, column]) > 0.6 else "white"
            text = f"{number:.0f}" if number >= 0.5 else "<1"
            axes.text(column, row, text, ha="center", va="center", fontsize=font, color=color)
    written = "" if not small else " (recordings)" if by_recording else " (% of the row's segments)"
    axes.set_title(f"Confusion{written}")
    if by_recording:
        axes.set(xlabel="Class with the highest mean score", ylabel="True class")
    else:
        axes.set(xlabel="Class found (beside the diagonal: though absent)", ylabel="Class present")
    bar = figure.colorbar(image, ax=axes, shrink=min(1, 25 / n_columns), pad=0.02, aspect=25)
    bar.set_ticks([0, 0.05, 0.2, 0.4, 0.6, 0.8, 1])
    bar.set_label(f"Share of the row's {confusion.by}s")
    return figure


def plot_scores(positives: np.ndarray, negatives: np.ndarray, threshold: float) -> Figure:
    """Distribution of the scores where a class is (counts (50,) of equal bins of 0..1) and where it is not."""
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
    """PR-AUC of each class with its interval, best on top. classes: the table of the same name."""
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
    """Precision, recall and F1 of events with their intervals: over IoU, and with a collar. table: that of events."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 1])
    ious, collars = table[table["criterion"] == "iou"], table[table["criterion"] != "iou"]
    position = np.arange(len(collars))
    for shift, (name, label, color) in enumerate(
        (("precision", "precision", SKY), ("recall", "recall", ORANGE), ("f1", "F1", BLUE)), start=-1
    ):
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
    annotated, found = table["annotated"].max(), table["found"].max()
    left.set_title(f"Events: {annotated:,} annotated, {found:,} found")
    left.legend(loc="upper right", frameon=True)
    right.set_xticks(position, [name.replace(" and ", "\nand ") for name in collars["criterion"]])
    right.set(xlim=(-0.6, len(collars) - 0.4), title=f"Within {collars['value'].max():g} s")
    for axes in (left, right):
        axes.grid(axis="y", alpha=0.3)
        axes.set_axisbelow(True)
    return figure


def plot_example(
    audio: str | Path,
    events: pd.DataFrame,
    start_time: np.ndarray,
    segment_len: float,
    scores: np.ndarray,
    classes: list[str],
    title: str = "",
) -> Figure:
    """One recording as a person and as the model sees it, at most its first 60 s.

    Above, what is annotated; in the middle, a mel spectrogram; below, the model's scores of each segment. audio: the
    recording's file. events: annotations table of it. start_time: float (n,), where its segments begin (s).
    segment_len: s. scores: (n, c), 0..1. classes: c names. Raises AudioError if the file cannot be read.
    """
    samples, rate = _beginning(audio)
    seconds = len(samples) / rate
    events = events[events["start_time"] < seconds]
    shown = start_time < seconds
    rows = _example_rows(events, scores[shown], classes)
    lanes = max(1, len(rows))

    figure = Figure(figsize=(11, 4.2 + 0.46 * lanes), layout="constrained")
    heights = [0.23 * lanes, 2.6, 0.23 * lanes]
    above, middle, below = figure.subplots(3, 1, sharex=True, height_ratios=heights)
    _draw_events(above, events, rows, seconds)
    _draw_spectrogram(figure, middle, samples, rate)
    _draw_scores(figure, below, start_time[shown], segment_len, scores[shown], [classes.index(name) for name in rows])
    for axes in (above, below):
        axes.set_yticks(range(len(rows)), short(rows), fontsize=8)
        axes.set_ylim(lanes - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
    above.tick_params(axis="x", length=0)
    above.set_title(title or Path(audio).stem, fontsize=11)
    above.set_ylabel("Annotated")
    middle.set_ylabel("Frequency (kHz)")
    below.set_ylabel("Scored")
    below.set(xlabel="Time (s)", xlim=(0, seconds))
    below.xaxis.set_major_locator(MaxNLocator(12, steps=[1, 2, 5, 10]))
    figure.align_ylabels()
    return figure


def _beginning(audio: str | Path) -> tuple[np.ndarray, int]:
    rate = probe(audio).sampling_rate
    wanted = int(EXAMPLE_SECONDS * rate)
    blocks, number = [], 0
    for block in stream(audio, rate):
        blocks.append(block)
        number += len(block)
        if number >= wanted:
            break
    return np.concatenate(blocks)[:wanted], rate


def _example_rows(events: pd.DataFrame, scores: np.ndarray, classes: list[str]) -> list[str]:
    """Classes to show: those annotated, then those with the highest scores, in the model's order."""
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


def _draw_spectrogram(figure: Figure, axes: Axes, samples: np.ndarray, rate: int) -> None:
    n_fft = 2 ** round(np.log2(0.06 * rate))
    power = librosa.feature.melspectrogram(y=samples, sr=rate, n_fft=n_fft, hop_length=n_fft // 4, n_mels=128)
    levels = librosa.power_to_db(power, ref=np.max, top_db=70)
    image = librosa.display.specshow(
        levels, sr=rate, n_fft=n_fft, hop_length=n_fft // 4, x_axis="s", y_axis="mel", cmap="magma", ax=axes,
        rasterized=True,
    )  # fmt: skip
    axes.set_xlabel("")
    axes.set_yticks([hertz for hertz in 500 * 2.0 ** np.arange(12) if hertz <= rate / 2])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda hertz, _: f"{hertz / 1000:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    bar = figure.colorbar(image, ax=axes, pad=0.01, aspect=20)
    bar.set_label("Level (dB)")


def _draw_scores(
    figure: Figure, axes: Axes, start_time: np.ndarray, segment_len: float, scores: np.ndarray, columns: list[int]
) -> None:
    """A cell for each segment; of overlapping ones the part around the middle, up to halfway to the neighbours."""
    middles = start_time + segment_len / 2
    between = (middles[1:] + middles[:-1]) / 2
    edges = np.concatenate([start_time[:1], between, start_time[-1:] + segment_len])
    lanes = np.arange(len(columns) + 1) - 0.5
    image = axes.pcolormesh(edges, lanes, scores[:, columns].T, cmap="viridis", vmin=0, vmax=1, rasterized=True)
    bar = figure.colorbar(image, ax=axes, pad=0.01, aspect=10, ticks=[0, 0.5, 1])
    bar.set_label("Score")


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG."""
    figure.savefig(path, dpi=DPI, format="png")


def square(xlabel: str, ylabel: str, title: str) -> tuple[Figure, Axes]:
    """Axes of two values in 0..1, with room for a legend beside them."""
    figure = Figure(figsize=(9, 5.4), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title, xlim=(-0.01, 1.01), ylim=(-0.01, 1.02), aspect="equal")
    axes.grid(alpha=0.3)
    return figure, axes


def _draw_curves(
    axes: Axes,
    pooled: tuple[np.ndarray, np.ndarray] | None,
    lines: list[tuple[str, np.ndarray, np.ndarray]],
    areas: dict[str, float],
    drawstyle: str,
) -> None:
    lowest_first = sorted(lines, key=lambda line: areas[line[0]])
    n_named = len(lines) if len(lines) <= len(COLORS) else NAMED
    if pooled:
        label = f"all pairs (micro)  {areas['micro']:.2f}"
        axes.plot(*pooled, color=BLUE, label=label, drawstyle=drawstyle, linewidth=2.5, zorder=4)
    for color, (name, x, y) in zip(COLORS, lowest_first[:n_named], strict=False):
        label = f"{short([name])[0]}  {areas[name]:.2f}"
        axes.plot(x, y, color=color, label=label, drawstyle=drawstyle, linewidth=1.2, zorder=3)
    for index, (_, x, y) in enumerate(lowest_first[n_named:]):
        others = f"the {len(lines) - n_named} other classes" if index == 0 else None
        axes.plot(x, y, color=GREY, label=others, drawstyle=drawstyle, linewidth=0.7, zorder=2)
    if pooled or lines:
        title = "Area under the curve" if n_named == len(lines) else f"Area under the curve, {NAMED} lowest"
        axes.legend(title=title, loc="upper left", bbox_to_anchor=(1.02, 1), frameon=False)


def short(names: Iterable[str]) -> list[str]:
    """Names that fit beside a picture; a dollar sign would start a formula."""
    cut = (name if len(name) <= NAME_WIDTH else name[: NAME_WIDTH - 1] + "…" for name in names)
    return [name.replace("$", r"\$") for name in cut]


def reliability(truth: np.ndarray, scores: np.ndarray, n_bins: int = 15) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean score, share of truth and number (m,) of the samples (n,) in each of n_bins equal bins that has any."""
    scores = np.asarray(scores, dtype=np.float64).ravel()
    place = np.searchsorted(np.linspace(0, 1, n_bins + 1)[1:-1], scores)
    number = np.bincount(place, minlength=n_bins)
    used = number > 0
    sums = (np.bincount(place, weights=values, minlength=n_bins) for values in (scores, np.asarray(truth).ravel()))
    mean, share = (total[used] / number[used] for total in sums)
    return mean, share, number[used]


def plot_calibration(
    truth: np.ndarray, scores: np.ndarray, coefficient: float, intercept: float, n_bins: int = 15
) -> Figure:
    """Reliability of scores (n,) as they are and scaled, above the number of samples in each bin."""
    scores = np.asarray(scores).ravel()
    figure = Figure(figsize=(7, 7), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    above.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="scores that are probabilities")
    scaled = apply_platt(scores.astype(np.float64), coefficient, intercept)
    label = f"scaled (coefficient {coefficient:.2f}, intercept {intercept:.2f})"
    for values, color, name in ((scores, ORANGE, "as scored"), (scaled, BLUE, label)):
        mean, share, _ = reliability(truth, values, n_bins)
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


def plot_recall_by_precision(precision: np.ndarray, recall: np.ndarray, area: float, title: str) -> Figure:
    """Recall over precision. area: PR-AUC, shown where it is defined."""
    figure, axes = square("Precision", "Recall", title)
    axes.plot(precision, recall, color=BLUE, linewidth=2, label=_area("PR-AUC", area))
    axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1), frameon=False)
    return figure


def plot_roc(fpr: np.ndarray, tpr: np.ndarray, area: float, title: str) -> Figure:
    """True over false positive rate. area: ROC-AUC, shown where it is defined."""
    figure, axes = square("False positive rate", "True positive rate", title)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1, label="by chance")
    axes.plot(fpr, tpr, color=BLUE, linewidth=2, label=_area("ROC-AUC", area))
    axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1), frameon=False)
    return figure


def _area(name: str, area: float) -> str:
    return f"{name} {area:.3f}" if np.isfinite(area) else f"{name} undefined"
