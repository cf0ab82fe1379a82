"""The picture of a comparison of two model runs."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lib.evaluation.metrics_plots import BLUE, GREY, ORANGE, SKY, short

SHOWN_CLASSES = 60
"""Of more, those are drawn in which the runs differ most: a picture of hundreds cannot be read."""
COLORS = {"both": BLUE, "only_first": ORANGE, "only_second": SKY, "neither": GREY}
NAME_CHARACTERS = 60


def plot_comparison(classes: pd.DataFrame, names: Sequence[str]) -> Figure:
    """Left, by which run the sounds of each class are found; right, the difference of recall with its interval.

    Classes are sorted by that difference, those that the second run finds more often on top.

    Args:
        classes: the table of a Comparison.
        names: of the first and the second run.
    """
    annotated = classes[classes["annotated"] > 0]
    size = annotated["recall_difference"].abs()
    chosen = annotated.loc[size.sort_values(ascending=False, kind="stable").index[:SHOWN_CLASSES]]
    chosen = chosen.sort_values(["recall_difference", "class"], kind="stable")
    rows = max(len(chosen), 1)
    step, font = (0.32, 9) if rows <= 30 else (0.2, 7)
    figure = Figure(figsize=(10, 2.2 + step * rows), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 2])
    position, begin = np.arange(len(chosen)), np.zeros(len(chosen))
    for kind, color in COLORS.items():
        share = (chosen[kind] / chosen["annotated"]).to_numpy()
        left.barh(position, share, left=begin, height=0.75, color=color, label=kind.replace("_", " "))
        begin += share
    labels = [f"{name} ({n})" for name, n in zip(short(chosen["class"]), chosen["annotated"], strict=True)]
    left.set_yticks(position, labels, fontsize=font)
    left.set(xlim=(0, 1), ylim=(-0.6, rows - 0.4), xlabel="Share of annotated sounds found by", title="Sounds by class")
    right.axvline(0, color="black", linewidth=0.8)
    low, high = chosen["recall_difference_low"], chosen["recall_difference_high"]
    right.hlines(position, low, high, color="black", linewidth=1.2)
    for sign, color in ((1, SKY), (0, BLUE), (-1, ORANGE)):
        points = np.sign(chosen["recall_difference"]) == sign
        right.plot(chosen["recall_difference"][points], position[points], "o", color=color, markersize=4.5)
    widest = np.nanmax([0.1, *low.abs(), *high.abs(), *chosen["recall_difference"].abs()])
    right.set(xlim=(-1.08 * widest, 1.08 * widest), xlabel="Recall, second less first, with 95 % interval")
    right.set_title("Difference")
    right.tick_params(axis="y", length=0)
    right.grid(axis="x", alpha=0.3)
    right.set_axisbelow(True)
    title = [f"{which}: {_ending(name)}" for which, name in zip(("first", "second"), names, strict=True)]
    if len(chosen) < len(annotated):
        title.append(f"the {len(chosen)} of {len(annotated)} classes that differ most")
    figure.suptitle("\n".join(title), fontsize=10, x=0.01, ha="left")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=len(COLORS), frameon=False)
    return figure


def _ending(name: str) -> str:
    """The end of a name that fits above the picture, with dollar signs escaped."""
    shown = name if len(name) <= NAME_CHARACTERS else f"…{name[-NAME_CHARACTERS + 1 :]}"
    return shown.replace("$", r"\$")
