"""Areas under precision-recall and ROC curves of more pairs of truth and score than fit into memory.

PR-AUC is the average precision of scikit-learn, sum over n of (R_n - R_{n-1}) P_n, without interpolation; ROC-AUC is
the probability that a positive scores above a negative, ties counting one half (Fawcett, An introduction to ROC
analysis, 2006). Tied scores are one point of a curve.

Pairs are sorted once by falling score, in runs that fit into memory and are then merged from a file. A bootstrap draw
is a weight for each recording, so it costs a cumulative sum, where scikit-learn would sort all pairs again.
"""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import IO, NamedTuple

import numpy as np
from scipy.sparse import csr_array

from lib.evaluation.metrics import group_sums, ratio, thin

ENTRY = np.dtype([("key", "<u8"), ("recording", "<u4"), ("positives", "<u4"), ("negatives", "<u4")])
"""Pairs with the same score and recording. The key is the group (upper 32 bits), then the falling score."""
LOWEST = np.uint64(2**32 - 1)
"""The lower half of the key for a score of 0; a higher score has a lower number."""
ENTRIES_AT_ONCE = 500_000
SAMPLE_STEP = 1024
"""Every so many entries of a run, its key is kept in memory."""
CELLS = 1_000_000
"""Of an array (draws, entries) in memory."""


class CurvePoints(NamedTuple):
    """Points of a curve by falling threshold: lowest score, true positives and false positives, float (g,) each."""

    threshold: np.ndarray
    tp: np.ndarray
    fp: np.ndarray


class Areas(NamedTuple):
    """Areas under the curves of a group of pairs.

    Args:
        pr_auc, roc_auc: float (b,), of each draw; NaN without positives or without negatives.
        points: of the first draw's curve, evenly thinned.
    """

    pr_auc: np.ndarray
    roc_auc: np.ndarray
    points: CurvePoints


class RankedPairs:
    """Pairs of truth and score in groups, such as classes, that are read back sorted by group and falling score.

    Args:
        scratch: folder for a file without a name, made when there are more than ENTRIES_AT_ONCE; it disappears with the
            object. None: the system's folder for temporary files, which is memory on many machines.
    """

    def __init__(self, scratch: str | Path | None = None) -> None:
        self._scratch = scratch
        self._pending: list[np.ndarray] = []
        self._file: IO[bytes] | None = None
        self._runs: list[_Run] = []

    def add(self, truth: np.ndarray, scores: np.ndarray, recording: np.ndarray, pooled: bool = False) -> None:
        """Add the pairs of n units and c classes; class k is group k.

        Args:
            truth: bool (n, c).
            scores: float32 (n, c), at least 0.
            recording: of each unit, int (n,).
            pooled: add all of them to group c as well.
        """
        names, owner = np.unique(recording, return_inverse=True)
        unit, column = np.nonzero(scores)
        positive = truth[unit, column]
        entries = np.zeros(len(unit), ENTRY)
        entries["key"] = _keys(column, scores[unit, column])
        entries["recording"], entries["positives"], entries["negatives"] = recording[unit], positive, ~positive

        # Most pairs have a score of 0: they are counted, not sorted.
        shape = len(names), truth.shape[1]
        cells = owner[unit] * shape[1] + column
        scored, scored_positives = (
            np.bincount(cells, weights, minlength=shape[0] * shape[1]).reshape(shape) for weights in (None, positive)
        )
        positives = group_sums(truth, owner, shape[0]) - scored_positives
        sizes = np.bincount(owner, minlength=shape[0])[:, None] - scored
        row, column = np.nonzero(sizes)
        zeros = np.zeros(len(row), ENTRY)
        zeros["key"] = column.astype(np.uint64) << np.uint64(32) | LOWEST
        zeros["recording"], zeros["positives"] = names[row], positives[row, column]
        zeros["negatives"] = sizes[row, column] - positives[row, column]

        entries = np.concatenate([entries, zeros])
        self._append(entries)
        if pooled:
            entries["key"] = np.uint64(shape[1] << 32) | (entries["key"] & LOWEST)
            self._append(entries)

    def _append(self, entries: np.ndarray) -> None:
        self._pending.append(_reduced(entries))
        if sum(map(len, self._pending)) > ENTRIES_AT_ONCE:
            self._write_run()

    def _write_run(self) -> None:
        run = _reduced(np.concatenate(self._pending))
        if self._file is None:
            if self._scratch is not None:
                Path(self._scratch).mkdir(parents=True, exist_ok=True)
            self._file = TemporaryFile(dir=self._scratch)  # noqa: SIM115 - closed with the object
        self._runs.append(_Run(self._file.seek(0, 2), len(run), run["key"][::SAMPLE_STEP].copy()))
        try:
            self._file.write(run.tobytes())
            self._file.flush()
        except OSError as error:
            error.filename = str(self._scratch or gettempdir())  # an unnamed file has none to report
            raise
        self._pending = []

    def blocks(self) -> Iterator[np.ndarray]:
        """The entries by rising key, ENTRY (m,), block by block; those with the same key are in the same block."""
        if self._file is None:
            yield _reduced(np.concatenate([np.zeros(0, ENTRY), *self._pending]))
            return
        if self._pending:
            self._write_run()
        samples = np.sort(np.concatenate([run.samples for run in self._runs]))
        begins = [0] * len(self._runs)
        for key in np.unique(samples[ENTRIES_AT_ONCE // SAMPLE_STEP :: ENTRIES_AT_ONCE // SAMPLE_STEP]):
            ends = [run.position(self._file, key) for run in self._runs]
            yield self._merged(begins, ends)
            begins = ends
        yield self._merged(begins, [run.size for run in self._runs])

    def _merged(self, begins: list[int], ends: list[int]) -> np.ndarray:
        assert self._file is not None
        parts = zip(self._runs, begins, ends, strict=True)
        return _reduced(np.concatenate([run.read(self._file, begin, end) for run, begin, end in parts]))

    def areas(self, n_groups: int, weights: np.ndarray, n_points: int = 0) -> list[Areas]:
        """Areas of the groups 0..n_groups - 1.

        Args:
            n_groups: how many there are.
            weights: (b, r), of r recordings in b draws.
            n_points: of each curve to keep, at most.
        """
        sweeps = [_Sweep(weights, n_points) for _ in range(n_groups)]
        for block in self.blocks():
            group = (block["key"] >> np.uint64(32)).astype(np.int64)
            bounds = np.flatnonzero(np.diff(group, prepend=-1, append=-1))
            for begin, end in pairwise(bounds):
                sweeps[group[begin]].take(block[begin:end])
        return [sweep.areas() for sweep in sweeps]


class _Run(NamedTuple):
    """Sorted entries in a file: offset in bytes, number of entries, and each SAMPLE_STEPth key."""

    offset: int
    size: int
    samples: np.ndarray

    def read(self, file: IO[bytes], begin: int, end: int) -> np.ndarray:
        file.seek(self.offset + begin * ENTRY.itemsize)
        return np.frombuffer(file.read((end - begin) * ENTRY.itemsize), ENTRY)

    def position(self, file: IO[bytes], key: np.uint64) -> int:
        """Of the first entry whose key is at least that."""
        sample = bisect_left(self.samples, key)
        begin, end = max(0, sample - 1) * SAMPLE_STEP, min(sample * SAMPLE_STEP, self.size)
        return begin + int(np.searchsorted(self.read(file, begin, end)["key"], key))


def _keys(group: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Keys (n,) of ENTRY; positive floats sort like their bits."""
    bits = np.ascontiguousarray(scores, np.float32).view(np.uint32)
    return group.astype(np.uint64) << np.uint64(32) | (LOWEST - bits)


def _scores(keys: np.ndarray) -> np.ndarray:
    """Scores float32 (n,) of keys."""
    return (LOWEST - (keys & LOWEST)).astype(np.uint32).view(np.float32)


def _reduced(entries: np.ndarray) -> np.ndarray:
    """Entries sorted by key, with neighbours of the same key and recording added up."""
    entries = entries[np.argsort(entries["key"], kind="stable")]
    if not len(entries):
        return entries
    is_first = np.ones(len(entries), bool)
    is_first[1:] = (np.diff(entries["key"]) != 0) | (np.diff(entries["recording"].astype(np.int64)) != 0)
    first = np.flatnonzero(is_first)
    reduced = entries[first]
    for column in ("positives", "negatives"):
        reduced[column] = np.add.reduceat(entries[column], first)
    return reduced


class _Sweep:
    """The areas of one group, summed up point by point while its entries come by falling score."""

    def __init__(self, weights: np.ndarray, n_points: int) -> None:
        n_draws = len(weights)
        self._weights, self._step = weights, max(1, CELLS // n_draws)
        self._found = np.zeros((2, n_draws))  # true and false positives so far, of each draw
        self._at_point = np.zeros((2, n_draws))  # and at the last point
        self._precision = np.zeros(n_draws)
        self._below = np.zeros(n_draws)
        self._points = _ThinnedPoints(n_points)

    def take(self, entries: np.ndarray) -> None:
        """Add entries whose scores are below those taken before."""
        point = _curve_points(entries)
        thresholds = _scores(entries["key"][np.diff(point, append=-1) != 0])
        n_recordings = self._weights.shape[1]
        pairs, inverse = np.unique(point * n_recordings + entries["recording"], return_inverse=True)
        counts = [np.bincount(inverse, entries[column]) for column in ("positives", "negatives")]
        point, recording = pairs // n_recordings, pairs % n_recordings
        for begin in range(0, len(pairs), self._step):
            part = slice(begin, begin + self._step)
            names, column = np.unique(recording[part], return_inverse=True)
            first, last = point[part][[0, -1]]
            cells, shape = (point[part] - first, column), (last - first + 1, len(names))
            weights = self._weights[:, names].T.astype(np.float64)
            tp, fp = (
                np.cumsum(csr_array((count[part], cells), shape) @ weights, axis=0) + found
                for count, found in zip(counts, self._found, strict=True)
            )
            self._found = np.stack([tp[-1], fp[-1]])
            end = last + (part.stop >= len(pairs) or point[part.stop] != last)  # the next part may go on with the last
            self._take_points(tp[: end - first], fp[: end - first], thresholds[first:end])

    def _take_points(self, tp: np.ndarray, fp: np.ndarray, thresholds: np.ndarray) -> None:
        """tp, fp: (points, draws)."""
        if not len(thresholds):
            return
        gained, passed = (
            np.diff(values, axis=0, prepend=last[None]) for values, last in zip((tp, fp), self._at_point, strict=True)
        )
        self._precision += (gained * ratio(tp, tp + fp, empty=0)).sum(axis=0)
        self._below += (passed * (tp - gained / 2)).sum(axis=0)
        self._at_point = np.stack([tp[-1], fp[-1]])
        self._points.add(CurvePoints(thresholds, tp[:, 0], fp[:, 0]))

    def areas(self) -> Areas:
        tp, fp = self._at_point
        roc_auc = ratio(self._below, tp * fp)
        pr_auc = np.where(np.isnan(roc_auc), np.nan, ratio(self._precision, tp))
        return Areas(pr_auc, roc_auc, self._points.thinned())


def _curve_points(entries: np.ndarray) -> np.ndarray:
    """The point of the curve to which each entry of a group belongs, int64 (m,).

    Entries with the same score share one. So do neighbouring scores without positives: nothing is gained between them,
    and the curve runs straight through.
    """
    score = np.cumsum(np.diff(entries["key"], prepend=entries["key"][:1]) != 0)
    has_positive = np.bincount(score, entries["positives"]) > 0
    is_new = np.ones(len(has_positive), bool)
    is_new[1:] = has_positive[1:] | has_positive[:-1]
    return (np.cumsum(is_new) - 1)[score]


class _ThinnedPoints:
    """Points of a curve, thinned while they come: always between `most` and twice as many, evenly chosen."""

    def __init__(self, most: int) -> None:
        self._most, self._every, self._seen = most, 1, 0
        nothing = np.zeros(0)
        self._kept = self._last = CurvePoints(nothing, nothing, nothing)

    def add(self, points: CurvePoints) -> None:
        if not self._most:
            return
        is_kept = np.arange(self._seen, self._seen + len(points.tp)) % self._every == 0
        self._seen += len(points.tp)
        self._kept = CurvePoints(*(np.append(kept, new[is_kept]) for kept, new in zip(self._kept, points, strict=True)))
        while len(self._kept.tp) > 2 * self._most:
            self._every *= 2
            self._kept = CurvePoints(*(kept[::2] for kept in self._kept))
        self._last = CurvePoints(*(new[-1:] for new in points))

    def thinned(self) -> CurvePoints:
        points = self._kept
        if self._seen and (self._seen - 1) % self._every:
            points = CurvePoints(*map(np.append, points, self._last))
        chosen = thin(len(points.tp), self._most)
        return CurvePoints(*(column[chosen] for column in points))
