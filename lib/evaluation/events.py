"""Event-based evaluation: the labels that infer wrote, matched one to one with the annotated events.

It stands beside the segment-based figures, which say in which windows a class is found: this one says whether sounds
are found as what they are, once each and from start to end (Mesaros, Heittola and Virtanen, Metrics for Polyphonic
Sound Event Detection, 2016). An annotated event and a label of the same recording and class match

- at an IoU of 0.1 to 0.9: if their intersection over union is at least that (see lib.evaluation.matching);
- with a collar: if their starts differ by at most evaluate.onset_collar (`onset`), and their ends, too, by at most that
  or a fifth of the annotated duration (`onset and offset`).

Precision is the share of labels that match, recall that of annotated events. Micro averages pool all classes; macro
averages are means over the classes with annotated events, in a bootstrap draw over those with any in the draw.

Found events are the labels that infer keeps, not made anew from scores.csv: they are what a user gets, with the
thresholds of classes, places, merging and, of models that score frames, the times that infer found. They are read some
recordings at a time. Labels end at a lowest score, and what is merged changes with it, so that there is no ranking of
one set of events of which an average precision could be told.

An annotation without an end (of a whole file) tells a class, but no event: labels of its class in its recording count
neither as right nor as wrong.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from lib.errors import Problem
from lib.evaluation import bootstrap
from lib.evaluation.matching import OFFSET_FRACTION, Events, Pairs, events, match, onsets, overlaps
from lib.evaluation.metrics import Counts
from lib.evaluation.predictions import AGAIN, Predictions
from lib.evaluation.units import shortened
from lib.inference.labels import Label
from lib.inference.output import label_table, read_labels

if TYPE_CHECKING:
    from lib.datasets.contents import Contents

IOUS = np.arange(1, 10) / 10
MAIN = 4  # index of IoU 0.5, whose figures stand for the rest
METRICS = ("precision", "recall", "f1")
AT_ONCE = 500  # recordings whose events are matched together


@dataclass(frozen=True)
class EventResults:
    """figures: name -> number, no NaN: event_precision, event_recall and event_f1 at IoU 0.5, event_onset_f1, bounds of
    their intervals as <name>_low and <name>_high, and n_events, the annotated ones; none without annotated events.
    table: a row for each criterion (`iou`, `onset`, `onset and offset`) and value of it, as events.csv holds it.
    classes: that for each class, as events_classes.csv does.
    """

    figures: dict[str, float]
    table: pd.DataFrame
    classes: pd.DataFrame


class _Tally(NamedTuple):
    """Events of k pairs of a recording and a class. recording, column, annotated, found: int (k,). tp: int (k, t)."""

    recording: np.ndarray
    column: np.ndarray
    annotated: np.ndarray
    found: np.ndarray
    tp: np.ndarray


def measure_events(
    contents: "Contents",
    predictions: Predictions,
    folder: str | Path,
    recordings: list[str],
    collar: float = 0.5,
    resamples: int = 200,
    seed: int = 1,
) -> tuple[EventResults, list[Problem]]:
    """Event-based figures of recordings.

    folder: where infer wrote. recordings: names of those to evaluate. collar: s. resamples, seed: of the recordings,
    for 95 % intervals. A recording without a table of labels is left out and reported.
    """
    folder = Path(folder)
    present = [name for name in recordings if label_table(folder, name).is_file()]
    problems = _without_labels(sorted(set(recordings) - set(present)))
    annotations, whole, odd = _annotated(contents, predictions, present)
    tallies = [
        _tally(annotations, whole, predictions, folder, present, slice(begin, begin + AT_ONCE), collar, problems)
        for begin in range(0, len(present), AT_ONCE)
    ]
    criteria = pd.DataFrame(
        {
            "criterion": ["iou"] * len(IOUS) + ["onset", "onset and offset"],
            "value": [*IOUS, collar, collar],
        }
    )
    tally = _joined(tallies, len(criteria))
    once = np.ones((1, len(present)), dtype=np.float32)
    weights = np.concatenate([once, bootstrap.draw(len(present), resamples, seed)])
    return _results(tally, criteria, weights, predictions.classes), problems + odd


def _annotated(
    contents: "Contents", predictions: Predictions, names: list[str]
) -> tuple[pd.DataFrame, np.ndarray, list[Problem]]:
    """Annotated events (recording and column: int), and which recordings and classes have some without an end."""
    table = contents.annotations
    table = table.assign(
        recording=pd.Index(names).get_indexer(table["recording"]),
        column=pd.Index(predictions.classes).get_indexer(predictions.known(table["class"])),
    )
    table = table[(table["recording"] >= 0) & (table["column"] >= 0)]
    endless = np.isinf(table["end_time"])
    keys = table["recording"] * len(predictions.classes) + table["column"]
    whole = np.unique(keys[endless])
    problems = []
    if len(whole):
        reason = f"annotations without an end: {endless.sum()}, which are no events"
        action = "event-based figures go without those classes of their recordings; give end times to have them"
        problems.append(Problem("test set", reason, action, lost=False))
    seconds = predictions.recordings.loc[names, "seconds"].to_numpy(np.float64)[table["recording"]]
    table = table.assign(end_time=np.minimum(table["end_time"], seconds))
    return table[(table["start_time"] < seconds) & ~keys.isin(whole)], whole, problems


def _tally(
    annotations: pd.DataFrame,
    whole: np.ndarray,
    predictions: Predictions,
    folder: Path,
    names: list[str],
    part: slice,
    collar: float,
    problems: list[Problem],
) -> _Tally:
    """Match the events of some of the recordings."""
    n_classes = len(predictions.classes)
    rows = [(name, *label) for name in names[part] for label in read_labels(folder, name)]
    labels = pd.DataFrame(rows, columns=["recording", *Label._fields])
    labels = labels.astype({"start_time": float, "end_time": float})
    column = pd.Index(predictions.classes).get_indexer(predictions.known(labels["name"]))
    if unknown := sorted(set(labels["name"][column < 0])):
        reason = f"labels are of classes that manifest.yaml does not hold: {shortened(unknown)}"
        problems.append(Problem(str(folder), reason, f"they do not count; {AGAIN} again", lost=False))
    group = pd.Index(names).get_indexer(labels["recording"]) * n_classes + column
    seconds = predictions.recordings["seconds"].reindex(labels["recording"]).to_numpy(np.float64)
    end = np.minimum(labels["end_time"].to_numpy(), seconds)  # a last window may reach beyond its recording
    known = (column >= 0) & ~np.isin(group, whole) & (labels["start_time"].to_numpy() < seconds)
    found = events(group[known], labels["start_time"].to_numpy()[known], end[known])

    here = annotations["recording"].between(part.start, part.stop - 1)
    annotated = _events_of(annotations[here], n_classes)
    groups, inverse = np.unique(np.concatenate([annotated.group, found.group]), return_inverse=True)
    of_annotated, of_found = np.split(inverse, [len(annotated)])
    tp = [
        np.bincount(of_annotated[pairs.annotated], minlength=len(groups))
        for pairs in _matches(annotated, found, collar)
    ]
    return _Tally(
        groups // n_classes,
        groups % n_classes,
        np.bincount(of_annotated, minlength=len(groups)),
        np.bincount(of_found, minlength=len(groups)),
        np.stack(tp, axis=1),
    )


def _events_of(table: pd.DataFrame, n_classes: int) -> Events:
    frequencies = [pd.to_numeric(table[name], errors="coerce") for name in ("low_freq", "high_freq") if name in table]
    bounds = frequencies if len(frequencies) == 2 else []
    group = table["recording"] * n_classes + table["column"]
    return events(group, table["start_time"], table["end_time"], *bounds)


def _matches(annotated: Events, found: Events, collar: float) -> list[Pairs]:
    """What matches by each criterion, in the order of the table."""
    candidates = overlaps(annotated, found)
    near = onsets(annotated, found, collar)
    both = onsets(annotated, found, collar, OFFSET_FRACTION)
    return [*(match(candidates.at_least(iou)) for iou in IOUS), match(near), match(both)]


def _joined(tallies: list[_Tally], n_criteria: int) -> _Tally:
    empty = np.zeros(0, np.int64)
    nothing = _Tally(empty, empty, empty, empty, np.zeros((0, n_criteria), np.int64))
    return _Tally(*map(np.concatenate, zip(nothing, *tallies, strict=True)))


def _results(tally: _Tally, criteria: pd.DataFrame, weights: np.ndarray, classes: list[str]) -> EventResults:
    micro = _counts(tally, tally.recording, weights.shape[1]).drawn(weights)
    macro = _macro(tally, weights, len(classes))
    table = criteria.copy()
    for name in METRICS:
        table = _with_interval(table, name, getattr(micro, name))
    for name in METRICS:
        table = _with_interval(table, f"macro_{name}", macro[name])
    table = table.assign(annotated=tally.annotated.sum(), found=tally.found.sum(), tp=tally.tp.sum(axis=0))

    by_class = _counts(tally, tally.column, len(classes))
    n_criteria = len(criteria)
    class_table = pd.DataFrame({"class": np.repeat(classes, n_criteria)})
    class_table[["criterion", "value"]] = np.tile(criteria.to_numpy(object), (len(classes), 1))
    class_table["annotated"] = np.repeat(by_class.positives[:, 0].astype(int), n_criteria)
    class_table["found"] = (by_class.tp + by_class.fp).ravel().astype(int)
    class_table["tp"] = by_class.tp.ravel().astype(int)
    for name in METRICS:
        class_table[name] = getattr(by_class, name).ravel()
    return EventResults(_figures(table, int(tally.annotated.sum())), table, class_table)


def _counts(tally: _Tally, row: np.ndarray, n_rows: int) -> Counts:
    """Sums by recording or by class."""
    totals = [np.bincount(row, weights=values, minlength=n_rows) for values in (tally.annotated, tally.found)]
    tp = np.stack([np.bincount(row, weights=values, minlength=n_rows) for values in tally.tp.T], axis=1)
    return Counts(tp, totals[1][:, None] - tp, totals[0][:, None])


def _macro(tally: _Tally, weights: np.ndarray, n_classes: int) -> dict[str, np.ndarray]:
    """Means over classes, (draws, criteria) of each metric."""
    shape = (len(weights), tally.tp.shape[1])
    total, number = {name: np.zeros(shape) for name in METRICS}, np.zeros((len(weights), 1))
    order = np.argsort(tally.column, kind="stable")
    bounds = np.searchsorted(tally.column[order], np.arange(n_classes + 1))
    for begin, end in pairwise(bounds):
        rows = order[begin:end]
        tp, annotated, found = tally.tp[rows], tally.annotated[rows, None], tally.found[rows, None]
        drawn = Counts(tp, found - tp, annotated).drawn(weights[:, tally.recording[rows]])
        defined = drawn.positives > 0
        number += defined
        for name in METRICS:
            total[name] += np.where(defined, getattr(drawn, name), 0)
    return {
        name: np.divide(value, number, out=np.full(shape, np.nan), where=number > 0) for name, value in total.items()
    }


def _with_interval(table: pd.DataFrame, name: str, samples: np.ndarray) -> pd.DataFrame:
    """The table with a metric's value (the first draw) and bounds (from the others). samples: (draws, rows)."""
    bounds = np.array([bootstrap.interval(column[1:]) for column in samples.T])
    return table.assign(**{name: samples[0], f"{name}_low": bounds[:, 0], f"{name}_high": bounds[:, 1]})


def _figures(table: pd.DataFrame, n_events: int) -> dict[str, float]:
    if not n_events:
        return {}
    chosen = {f"event_{name}": (name, MAIN) for name in METRICS} | {"event_onset_f1": ("f1", len(IOUS))}
    figures = {
        f"{name}{bound}": round(float(table.at[row, f"{column}{bound}"]), 6)
        for name, (column, row) in chosen.items()
        for bound in ("", "_low", "_high")
    }
    return {name: value for name, value in figures.items() if np.isfinite(value)} | {"n_events": n_events}


def _without_labels(names: list[str]) -> list[Problem]:
    if not names:
        return []
    reason = f"{len(names)} recordings have no table of labels: {shortened(names)}"
    return [Problem("test set", reason, f"event-based figures go without them; {AGAIN} again", lost=False)]
