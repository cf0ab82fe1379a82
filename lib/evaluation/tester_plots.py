"""Pictures of the testers' reports, each a function that returns a matplotlib Figure."""

import numpy as np
from matplotlib.figure import Figure

from lib.evaluation.plots import BLUE, COLORS, GREY, square


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
