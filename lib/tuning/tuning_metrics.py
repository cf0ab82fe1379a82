"""What trials are compared by: areas under curves of the evaluation, and means of two of them."""

from itertools import chain
from typing import get_args

from lib.config.schema import TuneMetric


def _areas_of(metric: str) -> tuple[str, ...]:
    """The figures of the evaluation whose mean a metric is: combo_pr is that of macro_pr and micro_pr."""
    average, curve = metric.split("_")
    averages = ("macro", "micro") if average == "combo" else (average,)
    return tuple(f"{average}_{curve}" for average in averages)


TUNE_METRICS = {metric: _areas_of(metric) for metric in get_args(TuneMetric)}
"""What trials can be compared by: the mean of these figures."""
AREAS = tuple(dict.fromkeys(chain.from_iterable(TUNE_METRICS.values())))
"""What each run of a trial measures."""


def area_title(area: str) -> str:
    """One of AREAS for people to read.

    >>> area_title("macro_pr")
    'Macro PR-AUC'
    """
    average, curve = area.split("_")
    return f"{average.title()} {curve.upper()}-AUC"
