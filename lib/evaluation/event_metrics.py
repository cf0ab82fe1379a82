"""Event-based evaluation: the labels that infer wrote, matched one to one with the annotated events.

Segment-based figures say in which windows a class is found; this one says whether sounds are found as what they are,
once each and from start to end (Mesaros, Heittola and Virtanen, Metrics for Polyphonic Sound Event Detection, 2016). An
annotated event and a label of the same recording and class match

- at an IoU of 0.1 to 0.9: if their intersection over union is at least that (see lib.evaluation.event_matching);
- with a collar: if their starts differ by at most evaluate.onset_collar (`onset`), and their ends, too, by at most that
  or a fifth of the annotated duration (`onset and offset`).

Precision is the share of labels that match, recall that of annotated events. Micro averages pool all classes; macro
averages are means over the classes with annotated events, in a bootstrap draw over those with any in the draw.

Found events are the labels in the results store, not new ones made from scores: they are what a user gets, with the
thresholds of classes, places, merging and, for models that score frames, the times that infer found. There is no
average precision: labels end at a lowest score, and what is merged changes with it, so that no ranking of one set of
events exists.

An annotation without an end (of a whole file) tells a class, but no event: labels of its class in its recording count
neither as right nor as wrong.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from lib.core.errors import Problem
from lib.evaluation import intervals
from lib.evaluation.event_matching import OFFSET_FRACTION, Events, Pairs, events, match, onsets, overlaps
from lib.evaluation.metrics import Counts, group_sums, ratio
from lib.results.results_store import ResultsStore
from lib.sound.labels import Label

if TYPE_CHECKING:
    from lib.formats.data_sets import DataSet

IOUS = np.arange(1, 10) / 10
MAIN = 4
"""Index of IoU 0.5, which the figures are of."""
EVENT_METRICS = ("precision", "recall", "f1")
AT_ONCE = 500
"""Recordings whose labels are read and matched together."""


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


class _Tally(NamedTuple):
    """Numbers of events of k pairs of a recording and a class. recording, column: int (k,). annotated, found: (k, 1).
    tp: (k, criteria).
    """

    recording: np.ndarray
    column: np.ndarray
    annotated: np.ndarray
    found: np.ndarray
    tp: np.ndarray

    def counts(self, group: np.ndarray, n_groups: int) -> Counts:
        """Sums by group: the recording or the column."""
        annotated, found, tp = (group_sums(each, group, n_groups) for each in (self.annotated, self.found, self.tp))
        return Counts(tp, found - tp, annotated)


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
    results, classes = store.recordings(), store.manifest.class_list
    seconds = np.array([results[name].seconds for name in recordings], np.float64)
    annotated = data_set.annotations.assign(
        recording=pd.Index(recordings).get_indexer(data_set.annotations["recording"]),
        column=classes.indices(data_set.annotations["class"]),
    )
    annotated = annotated[(annotated["recording"] >= 0) & (annotated["column"] >= 0)]
    endless = annotated[np.isinf(annotated["end_time"])]
    whole = np.unique(endless["recording"] * len(classes) + endless["column"])
    tallies = []
    for begin in range(0, len(recordings), AT_ONCE):
        part = range(begin, min(begin + AT_ONCE, len(recordings)))
        rows = [(index, *label) for index in part for label in store.labels(recordings[index])]
        found = pd.DataFrame(rows, columns=["recording", *Label._fields])
        found = found.astype({"recording": int, "start_time": float, "end_time": float})
        found["column"] = classes.indices(found["name"])
        here = annotated[annotated["recording"].isin(part)]
        events_here, events_found = (_events(table, seconds, whole, len(classes)) for table in (here, found))
        tallies.append(_tally(events_here, events_found, collar, len(classes)))
    tally = _Tally(*map(np.concatenate, zip(*tallies, strict=True)))
    criteria = pd.DataFrame({"criterion": ["iou"] * len(IOUS), "value": IOUS})
    criteria = pd.concat([criteria, pd.DataFrame({"criterion": ["onset", "onset and offset"], "value": collar})])
    weights = intervals.draw(len(recordings), resamples, seed)
    fault = f"annotations without an end: {len(endless)}, which are no events"
    remedy = "event-based figures go without those classes of their recordings; give end times to have them"
    problems = [Problem("test set", fault, remedy, lost=False)] if len(endless) else []
    return _results(tally, criteria.reset_index(drop=True), weights, classes.names), problems


def _events(table: pd.DataFrame, seconds: np.ndarray, whole: np.ndarray, n_classes: int) -> Events:
    """Events of a table, cut at the ends of their recordings (a last window may reach beyond); groups that are in
    `whole` are left out.
    """
    group, duration = table["recording"] * n_classes + table["column"], seconds[table["recording"]]
    table = table.assign(group=group, end_time=np.minimum(table["end_time"], duration))
    table = table[(table["start_time"] < duration) & ~group.isin(whole)]
    return events(table["group"], table["start_time"], table["end_time"], table.get("low_freq"), table.get("high_freq"))


def _tally(annotated: Events, found: Events, collar: float, n_classes: int) -> _Tally:
    groups, inverse = np.unique(np.concatenate([annotated.group, found.group]), return_inverse=True)
    of_annotated, of_found = np.split(inverse, [len(annotated)])
    matched = [of_annotated[pairs.annotated] for pairs in _matches(annotated, found, collar)]
    sizes = [np.bincount(each, minlength=len(groups)) for each in (of_annotated, of_found, *matched)]
    n_annotated, n_found, tp = np.split(np.stack(sizes, axis=1), [1, 2], axis=1)
    return _Tally(groups // n_classes, groups % n_classes, n_annotated, n_found, tp)


def _matches(annotated: Events, found: Events, collar: float) -> list[Pairs]:
    """What matches by each criterion, in the order of the table."""
    candidates = overlaps(annotated, found)
    near = onsets(annotated, found, collar)
    both = onsets(annotated, found, collar, OFFSET_FRACTION)
    return [*(match(candidates.at_least(iou)) for iou in IOUS), match(near), match(both)]


def _results(tally: _Tally, criteria: pd.DataFrame, weights: np.ndarray, classes: list[str]) -> EventResults:
    micro, macro = tally.counts(tally.recording, weights.shape[1]).drawn(weights), _macro(tally, weights, len(classes))
    samples = {name: getattr(micro, name) for name in EVENT_METRICS} | {
        f"macro_{name}": macro[name] for name in EVENT_METRICS
    }
    table = criteria.copy()
    for name, values in samples.items():
        table[name] = values[0]
        table[[f"{name}_low", f"{name}_high"]] = intervals.bounds(values.T)
    n_annotated = int(tally.annotated.sum())
    table = table.assign(annotated=n_annotated, found=tally.found.sum(), tp=tally.tp.sum(axis=0))

    by_class = tally.counts(tally.column, len(classes))
    class_table = pd.DataFrame({"class": classes}).merge(criteria, how="cross")
    numbers = {"annotated": by_class.positives, "found": by_class.tp + by_class.fp, "tp": by_class.tp}
    for name, values in numbers.items():
        class_table[name] = np.broadcast_to(values, by_class.tp.shape).ravel().astype(int)
    for name in EVENT_METRICS:
        class_table[name] = getattr(by_class, name).ravel()
    figures = {f"event_{name}": getattr(micro, name)[:, MAIN] for name in EVENT_METRICS}
    figures = intervals.figures(figures | {"event_onset_f1": micro.f1[:, len(IOUS)]}) | {"n_events": n_annotated}
    return EventResults(figures if n_annotated else {}, table, class_table)


def _macro(tally: _Tally, weights: np.ndarray, n_classes: int) -> dict[str, np.ndarray]:
    """Means over classes, (draws, criteria) of each metric."""
    total = {name: np.zeros((len(weights), tally.tp.shape[1])) for name in EVENT_METRICS}
    number = np.zeros((len(weights), 1))
    order = np.argsort(tally.column, kind="stable")
    bounds = np.searchsorted(tally.column[order], np.arange(n_classes + 1))
    for begin, end in pairwise(bounds):
        rows = order[begin:end]
        tp, annotated, found = tally.tp[rows], tally.annotated[rows], tally.found[rows]
        drawn = Counts(tp, found - tp, annotated).drawn(weights[:, tally.recording[rows]])
        defined = drawn.positives > 0
        number += defined
        for name in EVENT_METRICS:
            total[name] += np.where(defined, getattr(drawn, name), 0)
    return {name: ratio(values, number) for name, values in total.items()}
