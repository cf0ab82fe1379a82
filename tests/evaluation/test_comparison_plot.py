from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from lib.evaluation.comparison_plot import SHOWN_CLASSES, plot_comparison

NAMES = "data/labels", f"/media/{'long/' * 40}run"


def table(n: int) -> pd.DataFrame:
    """What two runs find of n classes with names of any length."""
    rng = np.random.default_rng(n)
    counts = rng.integers(0, 50, (n, 4))
    annotated = counts.sum(axis=1)
    difference = (counts[:, 2] - counts[:, 1]) / np.maximum(annotated, 1)
    columns = dict(zip(("both", "only_first", "only_second", "neither"), counts.T, strict=True))
    names = [f"{'a $class$ ' * (i % 9)}{i}" for i in range(n)]
    bounds = {"recall_difference_low": difference - 0.1, "recall_difference_high": difference + 0.1}
    return pd.DataFrame({"class": names, "annotated": annotated, **columns, "recall_difference": difference, **bounds})


@pytest.mark.parametrize("n", [0, 1, 3, 50, 200])
def test_no_texts_overlap_and_each_class_has_a_row(n):
    figure = plot_comparison(table(n), NAMES)
    figure.draw_without_rendering()
    left, right = figure.axes
    labels = left.get_yticklabels()
    assert len(labels) == min(n, SHOWN_CLASSES)
    boxes = [label.get_window_extent() for label in labels]
    assert all(below.y1 <= above.y0 + 1 for below, above in pairwise(boxes))
    title, legend = figure._suptitle.get_window_extent(), figure.legends[0].get_window_extent()
    for axes in (left, right):
        assert legend.y1 <= axes.xaxis.label.get_window_extent().y0
        assert axes.title.get_window_extent().y1 <= title.y0
    assert left.xaxis.label.get_window_extent().x1 < right.xaxis.label.get_window_extent().x0
    assert title.x0 >= 0 and title.x1 <= figure.bbox.x1 and all(box.x0 >= 0 for box in boxes)
    assert ("the 60 of" in figure._suptitle.get_text()) == (n > SHOWN_CLASSES)


def test_classes_without_annotations_have_no_row_and_one_without_an_interval_has_a_point():
    rows = table(3)
    rows.loc[0, "annotated"] = 0
    rows[["recall_difference_low", "recall_difference_high"]] = np.nan
    figure = plot_comparison(rows, NAMES)
    figure.draw_without_rendering()
    assert len(figure.axes[0].get_yticklabels()) == 2
    assert sum(len(line.get_xdata()) for line in figure.axes[1].get_lines()[1:]) == 2
