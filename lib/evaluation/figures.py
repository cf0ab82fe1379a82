"""The figures of an evaluation by name, and those of them by which experiments are compared.

| figure | what |
| --- | --- |
| macro_pr, macro_roc | area under the precision-recall and the ROC curve, mean over classes |
| micro_pr, micro_roc | the same of all pairs of a segment and a class together |
| precision, recall, f1 | of all pairs, at evaluate.threshold |
| best_f1, best_threshold | at the threshold that is best on the test set |
| accuracy | where each recording holds one class: share of recordings whose class has the highest mean score |
| event_precision, event_recall, event_f1 | of labels matched with annotated events, at an IoU of 0.5 |
| event_onset_f1 | the same by their starts |

The bounds of a figure's 95 % interval are `<name>_low` and `<name>_high`.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path

FILE = "figures.json"
"""In a report folder: all figures."""
MEASURED = (
    *("macro_pr", "micro_pr", "macro_roc", "micro_roc"),
    *("precision", "recall", "f1", "best_f1", "accuracy"),
    *("event_precision", "event_recall", "event_f1", "event_onset_f1"),
)
"""Those that have intervals, as far as they are defined."""
COMPARED = ("macro_pr", "micro_pr", "f1", "event_f1", "accuracy")
"""Those that metrics/evaluation.json holds: as many as `dvc exp show` has room for in 120 columns."""


def read_figures(report: str | Path) -> dict[str, float]:
    """All figures of a report folder that are numbers."""
    content = json.loads((Path(report) / FILE).read_text(encoding="utf-8"))
    return {name: value for name, value in content.items() if type(value) in (int, float) and math.isfinite(value)}


def compared(figures: Mapping[str, float]) -> dict[str, float]:
    """The figures by which experiments are compared, with four digits."""
    return {name: round(figures[name], 4) for name in COMPARED if name in figures}


def title(name: str) -> str:
    """What a figure is called in text.

    >>> title("macro_pr"), title("event_f1")
    ('macro PR-AUC', 'event F1')
    """
    words = name.replace("_pr", " PR-AUC").replace("_roc", " ROC-AUC") if name.startswith("m") else name
    return words.replace("f1", "F1").replace("_", " ")


def interval(name: str, figures: Mapping[str, float]) -> str:
    """The 95 % interval of a figure as text, "" if it has none.

    >>> interval("f1", {"f1": 0.5, "f1_low": 0.41, "f1_high": 0.6})
    '0.410 to 0.600'
    """
    low, high = figures.get(f"{name}_low"), figures.get(f"{name}_high")
    return "" if low is None or high is None else f"{low:.3f} to {high:.3f}"
