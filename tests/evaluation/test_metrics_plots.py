"""Pictures of an evaluation."""

import numpy as np

from lib.evaluation.metrics_plots import plot_confusion
from lib.evaluation.segment_metrics import Confusion


def test_of_hundreds_of_classes_the_most_confused_are_drawn():
    names = [f"class {index}" for index in range(300)]
    counts = np.diag(np.full(300, 10.0))
    counts[7, 250] = 9.0
    confusion = Confusion(names, names, counts, counts.sum(axis=1), "segment")
    axes = plot_confusion(confusion).axes[0]
    rows, columns = (
        [label.get_text() for label in ticks] for ticks in (axes.get_yticklabels(), axes.get_xticklabels())
    )
    assert len(rows) == len(columns) == 60 and "class 7" in rows and "class 250" in columns
