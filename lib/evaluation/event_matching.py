"""One-to-one matching of found events to annotated ones.

Two events can be a pair if they are of the same group (a recording and class) and alike enough. Their affinity:

- `overlaps`: intersection over union of their times, or of their boxes in time and frequency if both have frequencies
  (as in soundevent's evaluation; of boxes: Everingham et al., The Pascal Visual Object Classes Challenge, 2010; of
  times, as in PSDS: Bilen et al., A Framework for the Robust Evaluation of Sound Event Detection, 2020).
- `onsets`: how near their starts lie, within a collar; if wanted their ends, too, within the collar or a fraction of
  the annotated duration, whichever is more (Mesaros, Heittola and Virtanen, Metrics for Polyphonic Sound Event
  Detection, 2016; a fraction of 0.2 as in DCASE's Task 4).

`match` then takes as many pairs as one-to-one matching allows, as sed_eval's and mir_eval's do with a maximum matching,
and of all such choices the one with the most affinity (assignment problem: Kuhn, The Hungarian Method, 1955; Jonker and
Volgenant, 1987). So the number of pairs does not depend on the order of the events, and never rises with the threshold.

Only events that could be a pair are looked at, so that time and memory grow with their number. soundevent's own
matching is not used: it compares all pairs of a recording one by one, 200 million for a million labels and 200,000
annotations in 1,000 recordings.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components, min_weight_full_bipartite_matching

from lib.sound.grid import expand_ranges

OFFSET_FRACTION = 0.2
SLACK = 1e-6
"""Error of decimal times, and of ratios of them, in binary."""
DENSE_CELLS = 250_000
"""Of a component's matrix of pairs; a larger one is solved as a sparse matrix."""


@dataclass(frozen=True)
class Events:
    """n events.

    Args:
        group: int (n,), from 0; only events of one group can match.
        start_time, end_time: float (n,), s.
        low_freq, high_freq: float (n,), Hz; NaN: unknown.
    """

    group: np.ndarray
    start_time: np.ndarray
    end_time: np.ndarray
    low_freq: np.ndarray
    high_freq: np.ndarray

    def __len__(self) -> int:
        return len(self.group)


def events(
    group: np.ndarray,
    start_time: np.ndarray,
    end_time: np.ndarray,
    low_freq: np.ndarray | None = None,
    high_freq: np.ndarray | None = None,
) -> Events:
    """Events from anything that can become arrays (n,). Raises ValueError if times are infinite, NaN or reversed."""
    start, end = np.asarray(start_time, np.float64), np.asarray(end_time, np.float64)
    if not (np.isfinite(start).all() and np.isfinite(end).all() and (start <= end).all()):
        raise ValueError("an event needs finite times, start_time <= end_time")
    unknown = np.full(len(start), np.nan)
    low = unknown if low_freq is None else np.asarray(low_freq, np.float64)
    high = unknown if high_freq is None else np.asarray(high_freq, np.float64)
    return Events(np.asarray(group, np.int64), start, end, low, high)


@dataclass(frozen=True)
class Pairs:
    """Pairs that may match: indexes of annotated and of found events, int (m,), and affinity, float (m,), 0..1."""

    annotated: np.ndarray
    found: np.ndarray
    affinity: np.ndarray

    def at_least(self, threshold: float) -> "Pairs":
        """The pairs whose affinity is `threshold` or more."""
        return self[self.affinity >= threshold - SLACK]

    def __getitem__(self, chosen: np.ndarray) -> "Pairs":
        return Pairs(self.annotated[chosen], self.found[chosen], self.affinity[chosen])


def overlaps(annotated: Events, found: Events) -> Pairs:
    """All pairs that share some time (and some frequency), with their intersection over union."""
    later = _starting_within(found, found.start_time, found.end_time, annotated, inclusive=False)
    earlier = _starting_within(annotated, annotated.start_time, annotated.end_time, found, inclusive=True)
    a, f = np.append(later[1], earlier[0]), np.append(later[0], earlier[1])
    shared = _shared(annotated.start_time[a], annotated.end_time[a], found.start_time[f], found.end_time[f])
    band = _shared(annotated.low_freq[a], annotated.high_freq[a], found.low_freq[f], found.high_freq[f])
    is_box = ~np.isnan(band)
    shared = np.where(is_box, shared * band, shared)
    size_a, size_f = (
        (side.end_time - side.start_time)[index] * np.where(is_box, (side.high_freq - side.low_freq)[index], 1)
        for side, index in ((annotated, a), (found, f))
    )
    union = size_a + size_f - shared
    affinity = np.divide(shared, union, out=np.zeros(len(a)), where=union > 0)
    return Pairs(a, f, affinity)[affinity > 0]


def onsets(annotated: Events, found: Events, collar: float, offset_fraction: float | None = None) -> Pairs:
    """All pairs whose starts differ by at most `collar` s; their affinity falls from 1 (same time) to 1/2 (collar).

    offset_fraction: if given, ends may differ by at most the collar or that fraction of the annotated duration.
    """
    low, high = found.start_time - collar - SLACK, found.start_time + collar + 2 * SLACK
    f, a = _starting_within(found, low, high, annotated, inclusive=True)
    apart = np.abs(annotated.start_time[a] - found.start_time[f])
    pairs = Pairs(a, f, np.clip(1 - apart / (2 * collar), 0, 1))
    keep = apart <= collar + SLACK
    if offset_fraction is not None:
        allowed = np.maximum(collar, offset_fraction * (annotated.end_time - annotated.start_time))
        keep &= np.abs(annotated.end_time[a] - found.end_time[f]) <= allowed[a] + SLACK
    return pairs[keep]


def match(pairs: Pairs) -> Pairs:
    """As many of these pairs as possible, each event in one; of such choices, the one with the most affinity."""
    if len(pairs.affinity) == 0:
        return pairs
    a_names, a = np.unique(pairs.annotated, return_inverse=True)
    f_names, f = np.unique(pairs.found, return_inverse=True)
    n = len(a_names) + len(f_names)
    graph = coo_array((np.ones(len(a), bool), (a, len(a_names) + f)), shape=(n, n))
    _, label = connected_components(graph, directed=False)
    component = label[a]
    order = np.lexsort((-pairs.affinity, component))
    first = order[np.flatnonzero(np.diff(component[order], prepend=-1))]

    # A component in which one event is in all pairs (most have one pair only) gets its best pair. Others are solved.
    a_sizes = np.bincount(label[: len(a_names)], minlength=label.max() + 1)
    f_sizes = np.bincount(label[len(a_names) :], minlength=label.max() + 1)
    simple = np.minimum(a_sizes, f_sizes) == 1
    chosen = [first[simple[component[first]]]]
    order = order[~simple[component[order]]]
    bounds = np.flatnonzero(np.diff(component[order], prepend=-1, append=-1))
    for begin, end in pairwise(bounds):
        part = order[begin:end]
        chosen.append(part[_assign(a[part], f[part], pairs.affinity[part])])
    return pairs[np.sort(np.concatenate(chosen))]


def _assign(a: np.ndarray, f: np.ndarray, affinity: np.ndarray) -> np.ndarray:
    """Positions of the best pairs of one component."""
    rows, a = np.unique(a, return_inverse=True)
    columns, f = np.unique(f, return_inverse=True)
    n_rows, n_columns = len(rows), len(columns)
    # A pair counts 1, and the affinities of all pairs together less than 1: first the number, then how alike.
    value = 1 + affinity / (min(n_rows, n_columns) + 1)
    if n_rows * n_columns <= DENSE_CELLS:
        matrix = np.zeros((n_rows, n_columns))
        matrix[a, f] = value
        taken = linear_sum_assignment(matrix, maximize=True)
    else:
        # Each row may also take a spare column at a higher cost than any pair: the solver needs one for every row.
        spare = np.arange(n_rows)
        cells = np.append(a, spare), np.append(f, n_columns + spare)
        cost = np.append(2 - value, np.full(n_rows, 2.0))
        matrix = csr_array((cost, cells), shape=(n_rows, n_columns + n_rows))
        taken = min_weight_full_bipartite_matching(matrix)
    return np.flatnonzero(np.isin(a * (n_columns + n_rows) + f, taken[0] * (n_columns + n_rows) + taken[1]))


def _starting_within(
    spans: Events, low: np.ndarray, high: np.ndarray, others: Events, inclusive: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Indexes of all (span, other) of a group in which the other starts within [low, high), or (low, high)."""
    _, rank = np.unique(np.concatenate([others.start_time, low, high]), return_inverse=True)
    levels = len(rank) + 1
    start_rank, low_rank, high_rank = np.split(rank, [len(others), len(others) + len(spans)])
    key = others.group * levels + start_rank  # exact, being whole numbers; groups follow one another
    order = np.argsort(key, kind="stable")
    begin = np.searchsorted(key[order], spans.group * levels + low_rank, side="left" if inclusive else "right")
    end = np.searchsorted(key[order], spans.group * levels + high_rank, side="left")
    span, position = expand_ranges(begin, end - 1)
    return span, order[position]


def _shared(low: np.ndarray, high: np.ndarray, other_low: np.ndarray, other_high: np.ndarray) -> np.ndarray:
    """Length of the intersection of two intervals; NaN if a bound is NaN."""
    return np.maximum(np.minimum(high, other_high) - np.maximum(low, other_low), 0)
