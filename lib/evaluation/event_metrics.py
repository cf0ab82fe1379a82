"""Event-based evaluation: the labels that infer wrote, matched one to one with the annotated events.

Segment-based figures say in which windows a class is found; this one says whether sounds are found as what they are,
once each and from start to end (Mesaros, Heittola and Virtanen, Metrics for Polyphonic Sound Event Detection, 2016). An
annotated event and a label of the same recording and class match

- at an IoU of 0.1 to 0.9: if their intersection over union is at least that (see lib.evaluation.event_matching);
- with a collar: if their starts differ by at most evaluate.onset_collar (`onset`), and their ends, too, by at most that
  or a fifth of the annotated duration (`onset and offset`).

Precision is the share of labels that match, recall that of annotated events. Micro averages pool all classes; macro
averages are means over the classes with annotated events, in a bootstrap draw over those with any in the draw.

Which events there are, lib.evaluation.event_tables tells. There is no average precision: labels end at a lowest score,
and what is merged changes with it, so that no ranking of one set of events exists.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lib.core.errors import Problem
from lib.core.wording import counted
from lib.evaluation import intervals
from lib.evaluation.event_matching import OFFSET_FRACTION, Events, Pairs, match, onsets, overlaps
from lib.evaluation.event_tables import annotated_events, as_events, read_events
from lib.evaluation.metrics import Counts, group_sums, ratio
from lib.results.results_store import ResultsStore

if TYPE_CHECKING:
    from lib.formats.data_sets import DataSet

IOUS = np.arange(1, 10) / 10
MAIN = 4
"""Index of IoU 0.5, which the figures are of."""
EVENT_METRICS = ("precision", "recall", "f1")


@dataclass(frozen=True)
class EventResults:
    """What `measure_events` returns.

    Args:
        figures: name -> number, no NaN: event_precision, event_recall and event_f1 at IoU 0.5, event_onset_f1, with
            their intervals (see lib.evaluation.intervals), and n_events, the annotated ones; empty without any.
        table: a row for each criterion (`iou`, `onset`, `onset and offset`) and value of it, as in events.csv.
        classes: the same for each class, as in events_classes.csv.
    """

    figures: dict[str, float]
    table: pd.DataFrame
    classes: pd.DataFrame


class _Totals:
    """Numbers of events by criterion, summed up over recordings: c classes, b draws of the recordings, k criteria."""

    def __init__(self, n_classes: int, weights: np.ndarray, n_criteria: int) -> None:
        self._weights = weights
        self.classes = _nothing(n_classes, n_criteria)
        """Of each class."""
        self.drawn = [_nothing(len(weights), n_criteria) for _ in range(n_classes)]
        """Of each class, in each draw."""

    def add(self, recording: np.ndarray, column: np.ndarray, counts: Counts) -> None:
        """Add counts (m, k) of m pairs of a recording and a class, int (m,) each."""
        tables = (counts.tp, counts.fp, counts.positives)
        self.classes += Counts(*(group_sums(table, column, len(self.drawn)) for table in tables))
        order = np.argsort(column, kind="stable")
        bounds = np.searchsorted(column[order], np.arange(len(self.drawn) + 1))
        for index, (begin, end) in enumerate(pairwise(bounds)):
            if rows := order[begin:end].tolist():
                here = Counts(*(table[rows] for table in tables))
                self.drawn[index] += here.drawn(self._weights[:, recording[rows]])

    def micro(self) -> Counts:
        """Of all classes together, (b, k)."""
        return sum(self.drawn[1:], start=self.drawn[0])

    def macro(self) -> dict[str, np.ndarray]:
        """Means of each metric over the classes with annotated events, (b, k)."""
        is_defined = np.array([each.positives > 0 for each in self.drawn])
        values = {name: np.array([getattr(each, name) for each in self.drawn]) for name in EVENT_METRICS}
        number = is_defined.sum(axis=0)
        return {name: ratio(np.where(is_defined, each, 0).sum(axis=0), number) for name, each in values.items()}


def _nothing(rows: int, n_criteria: int) -> Counts:
    return Counts(np.zeros((rows, n_criteria)), np.zeros((rows, n_criteria)), np.zeros((rows, 1)))


def measure_events(
    data_set: "DataSet",
    store: ResultsStore,
    recordings: list[str],
    collar: float = 0.5,
    resamples: int = 200,
    seed: int = 1,
) -> tuple[EventResults, list[Problem]]:
    """Event-based figures of recordings.

    Args:
        data_set: the test set.
        store: its results.
        recordings: names of those to evaluate.
        collar: s.
        resamples, seed: of the recordings, for 95 % intervals.
    """
    classes = store.manifest.class_list
    annotated = annotated_events(data_set, recordings, classes)
    annotated = annotated[annotated["column"] >= 0]
    endless = annotated[np.isinf(annotated["end_time"])]
    whole = np.unique(endless["recording"] * len(classes) + endless["column"])
    weights = intervals.draw(len(recordings), resamples, seed)
    totals = _Totals(len(classes), weights, len(IOUS) + 2)
    for tables in read_events(annotated, store, recordings):
        grouped = (table.assign(group=table["recording"] * len(classes) + table["column"]) for table in tables)
        chosen = (table[~table["group"].isin(whole)] for table in grouped)
        events_here, events_found = (as_events(table, table["group"]) for table in chosen)
        _count(events_here, events_found, collar, len(classes), totals)
    criteria = pd.DataFrame({"criterion": ["iou"] * len(IOUS), "value": IOUS})
    criteria = pd.concat([criteria, pd.DataFrame({"criterion": ["onset", "onset and offset"], "value": collar})])
    fault = f"{counted(len(endless), 'annotation')} of whole recordings among those of events"
    remedy = "their classes take no part in the event figures of these recordings; give them end times"
    problems = [Problem("test set", fault, remedy, lost=False)] if 0 < len(endless) < len(annotated) else []
    return _results(totals, criteria.reset_index(drop=True), classes.names), problems


def _count(annotated: Events, found: Events, collar: float, n_classes: int, totals: _Totals) -> None:
    """Match events whose groups are recording * n_classes + class, and add their numbers to the totals."""
    groups, inverse = np.unique(np.concatenate([annotated.group, found.group]), return_inverse=True)
    of_annotated, of_found = np.split(inverse, [len(annotated)])
    matched = [of_annotated[pairs.annotated] for pairs in _matches(annotated, found, collar)]
    sizes = [np.bincount(each, minlength=len(groups)) for each in (of_annotated, of_found, *matched)]
    n_annotated, n_found, tp = np.split(np.stack(sizes, axis=1), [1, 2], axis=1)
    totals.add(groups // n_classes, groups % n_classes, Counts(tp, n_found - tp, n_annotated))


def _matches(annotated: Events, found: Events, collar: float) -> list[Pairs]:
    """What matches by each criterion, in the order of the table."""
    candidates = overlaps(annotated, found)
    near = onsets(annotated, found, collar)
    both = onsets(annotated, found, collar, OFFSET_FRACTION)
    return [*(match(candidates.at_least(iou)) for iou in IOUS), match(near), match(both)]


def _results(totals: _Totals, criteria: pd.DataFrame, classes: list[str]) -> EventResults:
    micro, macro, by_class = totals.micro(), totals.macro(), totals.classes
    samples = {name: getattr(micro, name) for name in EVENT_METRICS} | {
        f"macro_{name}": macro[name] for name in EVENT_METRICS
    }
    table = criteria.copy()
    for name, values in samples.items():
        table[name] = values[0]
        table[[f"{name}_low", f"{name}_high"]] = intervals.bounds(values.T)
    n_annotated, n_found = int(by_class.positives.sum()), int((by_class.tp + by_class.fp)[:, 0].sum())
    table = table.assign(annotated=n_annotated, found=n_found, tp=by_class.tp.sum(axis=0).astype(int))

    class_table = pd.DataFrame({"class": classes}).merge(criteria, how="cross")
    numbers = {"annotated": by_class.positives, "found": by_class.tp + by_class.fp, "tp": by_class.tp}
    for name, values in numbers.items():
        class_table[name] = np.broadcast_to(values, by_class.tp.shape).ravel().astype(int)
    for name in EVENT_METRICS:
        class_table[name] = getattr(by_class, name).ravel()
    figures = {f"event_{name}": getattr(micro, name)[:, MAIN] for name in EVENT_METRICS}
    figures = intervals.figures(figures | {"event_onset_f1": micro.f1[:, len(IOUS)]}) | {"n_events": n_annotated}
    return EventResults(figures if n_annotated else {}, table, class_table)
