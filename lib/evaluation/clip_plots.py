"""Pictures of a test by clips, each a function that returns a matplotlib Figure; all are readable with 50 classes.

Besides these, lib.evaluation.metrics_plots.plot_confusion draws the confusion of clips.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.evaluation.clip_metrics import CLIP_METRICS, classes_found, figures_of_clips, figures_of_columns
from lib.evaluation.clips import Clips
from lib.evaluation.metrics import areas
from lib.evaluation.metrics_plots import BLUE, GREY, SKY, short

MOST_PANELS = 60
"""Classes that get a panel or a row of their own in a picture, at most."""
MATRICES_IN_A_ROW = 8
BINS = 20
LABELS = {"f1": "F1", "hamming_distance": "Hamming distance"} | {
    name: name.capitalize() for name in ("accuracy", "precision", "recall")
}


def plot_clip_roc(clips: Clips) -> Figure:
    """The ROC of each class, a panel each; of more than MOST_PANELS classes, those with the smallest areas."""
    from sklearn.metrics import roc_curve

    area = np.array([areas(truth, scores)[1] for truth, scores in zip(clips.truth.T, clips.scores.T, strict=True)])
    chosen = np.sort(np.argsort(area, kind="stable")[:MOST_PANELS])  # NaN comes last
    figure, panels = _grid(len(chosen), 1.75, 2.0)
    for axes, column, name in zip(panels, chosen, short(clips.classes[i] for i in chosen), strict=True):
        axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
        if np.isfinite(area[column]):
            fpr, tpr, _ = roc_curve(clips.truth[:, column], clips.scores[:, column])
            axes.plot(fpr, tpr, color=BLUE, linewidth=1.6)
            axes.fill_between(fpr, tpr, color=SKY, alpha=0.2, linewidth=0)
        n = int(clips.truth[:, column].sum())
        shown = f"AUC {area[column]:.2f} (n = {n})" if np.isfinite(area[column]) else f"n = {n} of {len(clips.names)}"
        axes.set_title(f"{name}\n{shown}", fontsize=8)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.04), aspect="equal", xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        axes.tick_params(labelsize=6)
        axes.grid(alpha=0.3)
    part = "" if len(chosen) == len(clips.classes) else f", the {len(chosen)} classes with the smallest areas"
    figure.suptitle(f"ROC of clips{part}\n(n: clips that hold the class)", fontsize=10)
    figure.supxlabel("False positive rate", fontsize=9)
    figure.supylabel("True positive rate", fontsize=9)
    return figure


def plot_metric_histograms(clips: Clips, threshold: float | np.ndarray) -> Figure:
    """How each of CLIP_METRICS is distributed over the clips."""
    figures = figures_of_clips(clips.truth, classes_found(clips.scores, threshold))
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    panels = figure.subplots(2, 3, sharex=True)
    for axes, name in zip(panels.flat, CLIP_METRICS, strict=False):
        mean = figures[name].mean()
        axes.hist(figures[name], bins=np.linspace(0, 1, BINS + 1), color=SKY, edgecolor="white", linewidth=0.5)
        axes.axvline(mean, color="black", linestyle="--", linewidth=1, label=f"mean {mean:.2f}")
        axes.set(title=LABELS[name], xlim=(-0.02, 1.02), ylabel="Clips")
        axes.tick_params(labelbottom=True)
        axes.grid(axis="y", alpha=0.3)
        axes.set_axisbelow(True)
        axes.legend(loc="best", frameon=True, fontsize=9)
    panels.flat[-1].set_axis_off()
    figure.suptitle(f"Figures of each of {len(clips.names):,} clips, over all classes")
    return figure


def plot_class_metrics(clips: Clips, threshold: float | np.ndarray) -> Figure:
    """Each of CLIP_METRICS of each class, as a table in colour; of more than MOST_PANELS, those of the lowest F1."""
    figures = figures_of_columns(clips.truth, classes_found(clips.scores, threshold))
    chosen = np.sort(np.argsort(figures["f1"], kind="stable")[:MOST_PANELS])
    values = np.column_stack([figures[name][chosen] for name in CLIP_METRICS])
    positives = clips.truth[:, chosen].sum(axis=0)
    figure = Figure(figsize=(7, 1.6 + 0.21 * max(len(chosen), 4)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(values, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    labels = [f"{name} ({n})" for name, n in zip(short(clips.classes[i] for i in chosen), positives, strict=True)]
    axes.set_yticks(range(len(chosen)), labels, fontsize=8)
    axes.set_xticks(range(len(CLIP_METRICS)), [LABELS[name].replace(" ", "\n") for name in CLIP_METRICS], fontsize=9)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    for (row, column), value in np.ndenumerate(values):
        _write(axes, column, row, f"{value:.2f}", value, 8)
    part = "" if len(chosen) == len(clips.classes) else f", the {len(chosen)} classes with the lowest F1"
    axes.set_title(f"Figures of each class (clips that hold it){part}", fontsize=10)
    figure.colorbar(image, ax=axes, pad=0.02, aspect=40)
    return figure


def plot_class_pairs(clips: Clips, name: str, threshold: float | np.ndarray) -> Figure:
    """The confusion matrix of a class with each class: clips in which it is present or not, and that one found or not.

    The first matrix is that of the class with itself; the others follow in the order of the model's classes. Of more
    than MOST_PANELS, those are drawn that are found most often where the class is present.
    """
    own, found = clips.classes.index(name), classes_found(clips.scores, threshold)
    present = clips.truth[:, own]
    totals = np.array([present.sum(), (~present).sum()])
    is_found = np.stack([found[present].sum(axis=0), found[~present].sum(axis=0)])
    counts = np.stack([is_found, totals[:, None] - is_found], axis=1)  # (present or not, found or not, class)
    others = [column for column in np.argsort(-is_found[0], kind="stable") if column != own]
    chosen = [own, *sorted(others[: MOST_PANELS - 1])]

    n_columns = min(len(chosen), MATRICES_IN_A_ROW)
    n_rows = -(-len(chosen) // n_columns)
    shares = np.full((3 * n_rows, 3 * n_columns), np.nan)  # of each three, the first row and the last column are gaps
    width, height = 1.6 * n_columns, 1.1 * n_rows
    figure = Figure(figsize=(width + 2.2, height + 1.4))  # laid out by hand: there may be hundreds of these pictures
    right, top = 1 - 1.2 / (width + 2.2), 1 - 0.7 / (height + 1.4)
    figure.subplots_adjust(left=1.0 / (width + 2.2), right=right, bottom=0.7 / (height + 1.4), top=top)
    axes = figure.subplots()
    for index, (column, other) in enumerate(zip(chosen, short(clips.classes[i] for i in chosen), strict=True)):
        y, x = 3 * (index // n_columns) + 1, 3 * (index % n_columns)
        part = counts[:, :, column] / np.maximum(totals, 1)[:, None]
        shares[y : y + 2, x : x + 2] = part
        for (row, cell), share in np.ndenumerate(part):
            _write(axes, x + cell, y + row, f"{counts[row, cell, column]}", share, 8)
        weight = "bold" if column == own else "normal"
        axes.text(x + 0.5, y - 0.65, other, ha="center", va="bottom", fontsize=7, fontweight=weight)
    image = axes.imshow(shares, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    starts_x, starts_y = 3 * np.arange(n_columns), 3 * np.arange(n_rows) + 1
    axes.set_xticks([x + cell for x in starts_x for cell in (0, 1)], ["found", "not"] * n_columns, fontsize=7)
    axes.set_yticks([y + row for y in starts_y for row in (0, 1)], ["present", "absent"] * n_rows, fontsize=7)
    axes.set(xlim=(-0.5, 3 * n_columns - 1.5), ylim=(3 * n_rows - 0.5, -0.4))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    shown, is_all = short([name])[0], len(chosen) == len(clips.classes)
    axes.set_ylabel(f"{shown} is")
    axes.set_xlabel("the class above the matrix is")
    which = "with each class" if is_all else f"with the {len(chosen) - 1} classes that are found most often with it"
    axes.set_title(f"{shown}\nconfusion {which} (clips)", fontsize=10)
    bar = figure.add_axes(
        (right + 0.3 / (width + 2.2), 0.7 / (height + 1.4), 0.2 / (width + 2.2), height / (height + 1.4))
    )
    figure.colorbar(image, cax=bar).set_label("Share of the row")
    return figure


def _grid(n: int, width: float, height: float) -> tuple[Figure, Sequence[Axes]]:
    """n panels, in inches each, in rows of about the shape of a page."""
    columns = max(1, min(n, round(np.sqrt(n * 0.8) + 0.5), 8))
    rows = -(-n // columns)
    figure = Figure(figsize=(max(4.5, 0.6 + width * columns), 1.0 + height * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[n:]:
        axes.set_axis_off()
    return figure, list(panels[:n])


def _write(axes: Axes, x: float, y: float, text: str, share: float, size: int) -> None:
    """A number in a cell that is coloured by viridis, in black or white, whichever can be read."""
    axes.text(x, y, text, ha="center", va="center", fontsize=size, color="black" if share > 0.6 else "white")
