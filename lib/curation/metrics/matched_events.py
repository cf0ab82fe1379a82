"""Predicted events matched one to one with true ones, as columns that confusion queries and metrics are read from.

First events of the same class are matched, as evaluate does, so that precision and recall are the same here and there.
What is left is then matched whatever its class: these pairs are the confusions. What is left of that is alone: a false
positive or a false negative. See lib.evaluation.event_matching for what can be a pair and which pairs are taken.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from lib.core.files import atomic
from lib.evaluation.event_matching import Events, Pairs, events, match, overlaps

NONE = -1
"""In place of a number: there is none."""
ORDERS = ("confidence", "iou", "box_size")
"""Columns that rows can be ordered by."""
ROUNDING = 1e-6
"""Of confidences, which stores hold in single precision."""
_BROKEN = (OSError, BadZipFile, ValueError, KeyError, EOFError, NotImplementedError)


class MatchedEvents(NamedTuple):
    """Pairs of a true and a predicted event, and events alone, by frame, number of the true and of the predicted event.

    Args:
        frames: IDs of the frames, str (n_frames,).
        classes: names, str (n_classes,).
        frame: index of the frame, int (n,).
        truth, found: position among the true and the predicted events that were given, int (n,); NONE: there is none.
        truth_class, found_class: index of the class, int (n,); NONE: there is none.
        truth_id, found_id: bytes (n,), UTF-8; empty: there is none.
        confidence: of the prediction, float (n,); NaN: there is none.
        iou: float (n,); NaN: alone.
        box_size: s x Hz, of an event without frequencies s; of the true event or, where there is none, the prediction.
        orders: by `confidence`, `iou` and `box_size`, rising and falling: positions of the rows, int (6, n). Equal ones
            are in the order of the rows, those without a value last.
        strata: of each attribute that was given, the stratum of the true event or, where there is none, of the
            prediction, int (n_attributes, n); NONE: of none.
    """

    frames: np.ndarray
    classes: np.ndarray
    frame: np.ndarray
    truth: np.ndarray
    found: np.ndarray
    truth_class: np.ndarray
    found_class: np.ndarray
    truth_id: np.ndarray
    found_id: np.ndarray
    confidence: np.ndarray
    iou: np.ndarray
    box_size: np.ndarray
    orders: np.ndarray
    strata: np.ndarray

    def order(self, column: str, falling: bool) -> np.ndarray:
        """Positions of all rows in the order of a column."""
        return self.orders[2 * ORDERS.index(column) + falling]

    def class_index(self, name: str) -> int:
        """The index of a class; NONE if no event has it."""
        found = np.flatnonzero(self.classes == name)
        return int(found[0]) if len(found) else NONE


def match_events(
    truth: pd.DataFrame, found: pd.DataFrame, iou: float, confidence: float = 0.0, strata: Sequence[str] = ()
) -> MatchedEvents:
    """Match events of frames.

    Args:
        truth: columns `frame_id` and `label_id`, str; `class`; `start_time` and `end_time`, s, finite; `low_freq` and
            `high_freq`, Hz, NaN if unknown; `is_whole`, bool: a label of the whole frame, which matches such labels
            alone, whatever its times.
        found: the same, and `confidence`, 0..1.
        iou: least intersection over union, 0..1; at 0, any overlap is enough.
        confidence: predictions with less are left out.
        strata: further columns of both, int: the stratum of each event by an attribute; NONE: of none.
    """
    found = found.assign(position=np.arange(len(found)))[found["confidence"].to_numpy(float) >= confidence - ROUNDING]
    truth = truth.assign(position=np.arange(len(truth)))
    frames, frame_a, frame_b = _numbered(truth["frame_id"], found["frame_id"])
    classes, class_a, class_b = _numbered(truth["class"], found["class"])
    group_a, group_b = (
        2 * frame + table["is_whole"].to_numpy(int) for frame, table in ((frame_a, truth), (frame_b, found))
    )
    a = _as_events(truth, group_a * len(classes) + class_a)
    b = _as_events(found, group_b * len(classes) + class_b)
    same = match(overlaps(a, b).at_least(iou))
    rest_a, rest_b = (
        np.setdiff1d(np.arange(len(each)), paired) for each, paired in ((a, same.annotated), (b, same.found))
    )
    other = match(overlaps(_regrouped(a, rest_a, group_a), _regrouped(b, rest_b, group_b)).at_least(iou))
    other = Pairs(rest_a[other.annotated], rest_b[other.found], other.affinity)
    alone_a, alone_b = np.setdiff1d(rest_a, other.annotated), np.setdiff1d(rest_b, other.found)
    nothing_a, nothing_b = np.full(len(alone_b), NONE), np.full(len(alone_a), NONE)
    at_a = np.concatenate([same.annotated, other.annotated, alone_a, nothing_a])
    at_b = np.concatenate([same.found, other.found, nothing_b, alone_b])
    affinity = np.concatenate([same.affinity, other.affinity, np.full(len(alone_a) + len(alone_b), np.nan)])
    frame = np.maximum(_taken(frame_a, at_a, NONE), _taken(frame_b, at_b, NONE))
    order = np.lexsort((at_b, at_a, at_a == NONE, frame))
    at_a, at_b, affinity, frame = at_a[order], at_b[order], affinity[order], frame[order]
    size_a, size_b = _sizes(a), _sizes(b)
    size = np.where(at_a == NONE, _taken(size_b, at_b, np.nan), _taken(size_a, at_a, np.nan))
    scores = _taken(found["confidence"].to_numpy(float), at_b, np.nan)
    columns = scores, affinity, size
    of_a, of_b = (table[list(strata)].to_numpy(int).reshape(len(table), len(strata)).T for table in (truth, found))
    at_strata = [
        np.where(at_a == NONE, _taken(each_b, at_b, NONE), _taken(each_a, at_a, NONE))
        for each_a, each_b in zip(of_a, of_b, strict=True)
    ]
    return MatchedEvents(
        frames,
        classes,
        frame,
        _taken(truth["position"].to_numpy(), at_a, NONE),
        _taken(found["position"].to_numpy(), at_b, NONE),
        _taken(class_a, at_a, NONE),
        _taken(class_b, at_b, NONE),
        _taken(_encoded(truth["label_id"]), at_a, b""),
        _taken(_encoded(found["label_id"]), at_b, b""),
        *columns,
        _orders(columns),
        np.array(at_strata, np.int64).reshape(len(strata), len(frame)),
    )


def write_matched(path: str | Path, matched: MatchedEvents) -> None:
    """Write matched events to a file, whole or not at all."""
    arrays = matched._asdict()
    with atomic(path) as part, part.open("wb") as file:
        np.savez(file, **arrays)


def read_matched(path: str | Path) -> MatchedEvents | None:
    """The matched events of a file; None if there is none or it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return MatchedEvents(*(arrays[name] for name in MatchedEvents._fields))
    except _BROKEN:
        return None


def _numbered(*columns: pd.Series) -> list[np.ndarray]:
    """The different values of columns, sorted, and the index of each column's values among them."""
    codes, names = pd.factorize(pd.concat(columns), sort=True)
    parts = np.split(codes, np.cumsum([len(column) for column in columns])[:-1])
    return [np.asarray(names, str), *parts]


def _as_events(table: pd.DataFrame, group: np.ndarray) -> Events:
    times = [table[name].to_numpy(float) for name in ("start_time", "end_time", "low_freq", "high_freq")]
    is_whole = table["is_whole"].to_numpy(bool)
    whole = (0.0, 1.0, np.nan, np.nan)
    return events(group, *(np.where(is_whole, value, column) for value, column in zip(whole, times, strict=True)))


def _regrouped(all_events: Events, chosen: np.ndarray, group: np.ndarray) -> Events:
    """Some of the events, in other groups."""
    times = (all_events.start_time, all_events.end_time, all_events.low_freq, all_events.high_freq)
    return Events(group[chosen], *(column[chosen] for column in times))


def _sizes(each: Events) -> np.ndarray:
    band = each.high_freq - each.low_freq
    return (each.end_time - each.start_time) * np.where(np.isnan(band), 1, band)


def _taken(values: np.ndarray, index: np.ndarray, missing: float | bytes) -> np.ndarray:
    """The values at positions; `missing` where the position is NONE."""
    return np.append(values, np.array([missing], values.dtype))[index]


def _encoded(names: pd.Series) -> np.ndarray:
    return np.array([name.encode() for name in names] or [b""], "S")[: len(names)]


def _orders(columns: Sequence[np.ndarray]) -> np.ndarray:
    return np.stack([np.argsort(sign * column, kind="stable") for column in columns for sign in (1, -1)])
