"""The windows whose embeddings are most like those of a query.

The measure is the cosine of the angle between two embeddings (1: same direction), computed exactly for all windows,
piece by piece, so memory does not grow with their number. Of several windows of a query, the most similar one counts.
Of windows of a recording that overlap each other, only those count that are more similar than their neighbours: a
sound is found once, at the window that shows it best.
"""

import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from lib.core.devices import compute_threads
from lib.core.errors import EarshotError
from lib.curation.embedding_store import EmbeddedRecording, EmbeddingPiece, Embeddings

SLACK = 1e-6
"""Seconds by which rounding may let windows overlap that only touch."""
TINY = 1e-12
"""Vectors shorter than that have similarity 0."""


class Match(NamedTuple):
    """A window that was found; times in s from the start of the recording."""

    rank: int
    recording: EmbeddedRecording
    start_time: float
    end_time: float
    similarity: float


class Stretch(NamedTuple):
    """A part of a recording, by its ID, from start to end (s)."""

    recording: int
    start: float
    end: float


class Query(NamedTuple):
    """A sound to search for: embeddings of its windows, float32 (n, dim), and where it lies among the recordings."""

    vectors: np.ndarray
    place: Stretch | None = None


class _Hits(NamedTuple):
    """Windows: recording IDs, starts (s) and similarities, each (n,)."""

    recordings: np.ndarray
    starts: np.ndarray
    similarities: np.ndarray

    def take(self, which: np.ndarray | slice) -> "_Hits":
        return _Hits(*(column[which] for column in self))

    def followed_by(self, others: "_Hits") -> "_Hits":
        return _Hits(*map(np.concatenate, zip(self, others, strict=True)))


NOTHING = _Hits(np.empty(0, int), np.empty(0), np.empty(0, np.float32))


def nearest_windows(
    embeddings: Embeddings, pieces: Iterable[EmbeddingPiece], query: Query, n: int, distinct: bool = False
) -> list[Match]:
    """The n windows that are most like the query, best first; of equal ones, in the order of the pieces.

    Windows that overlap the query's place are left out.

    Args:
        embeddings: where the windows are from.
        pieces: the windows.
        query: what to look for.
        n: how many windows, at most.
        distinct: one window of each recording.

    Raises EarshotError if the query's vectors are of another dimension.
    """
    best = NOTHING
    # Threads would wait for memory, and on a busy machine for each other: one is up to four times as fast.
    with compute_threads(1):
        for hits in _peaks(_compare(pieces, query, embeddings.seconds), embeddings.seconds):
            least = best.similarities[-1] if len(best.similarities) == n else -np.inf
            better = hits.similarities > least
            if better.any():
                best = _best(best.followed_by(hits.take(better)), n, distinct)
    return list(_matches(best, embeddings))


def _compare(pieces: Iterable[EmbeddingPiece], query: Query, seconds: float) -> Iterator[_Hits]:
    """The similarity of each window; -inf for those at the query's place."""
    directions = F.normalize(torch.from_numpy(np.asarray(query.vectors, np.float32)), eps=TINY).T
    for recordings, starts, vectors in pieces:
        if vectors.shape[1] != len(directions):
            fault = f"they have {vectors.shape[1]} dimensions, the query {len(directions)}"
            raise EarshotError("stored embeddings", fault, "search with the model that made them")
        x = torch.from_numpy(vectors)
        lengths = torch.linalg.vector_norm(x, dim=1).clamp_min(TINY)
        similarities = ((x @ directions).amax(dim=1) / lengths).numpy()
        if query.place is not None:
            overlapping = (starts < query.place.end - SLACK) & (starts + seconds > query.place.start + SLACK)
            similarities[overlapping & (recordings == query.place.recording)] = -np.inf
        yield _Hits(recordings, starts, similarities)


def _peaks(compared: Iterable[_Hits], seconds: float) -> Iterator[_Hits]:
    """The windows with no better one among those of their recording that they overlap."""
    pending = NOTHING
    n_decided = 0  # the first of the pending ones, which are only there to be compared with
    for piece in itertools.chain(compared, [None]):
        if piece is not None:
            pending = pending.followed_by(piece)
        if not len(pending.starts):
            continue
        is_last = pending.recordings == pending.recordings[-1]
        until_end = pending.starts[-1] - pending.starts
        # What follows may be better than windows near the end.
        is_open = is_last & (until_end < seconds + SLACK) if piece is not None else np.zeros(len(is_last), bool)
        end = int(np.argmax(is_open)) if is_open.any() else len(is_open)
        is_peak = _is_peak(pending, seconds) & np.isfinite(pending.similarities)
        yield pending.take(np.flatnonzero(is_peak[n_decided:end]) + n_decided)
        first = int(np.argmax(is_last & (until_end < 2 * seconds + SLACK)))
        n_decided, pending = end - first, pending.take(slice(first, None))


def _is_peak(hits: _Hits, seconds: float) -> np.ndarray:
    """bool (n,): of equal windows, the first."""
    peak = np.ones(len(hits.starts), bool)
    for shift in itertools.count(1):
        near = (hits.recordings[shift:] == hits.recordings[:-shift]) & (
            hits.starts[shift:] - hits.starts[:-shift] < seconds - SLACK
        )
        if not near.any():
            return peak
        later_is_better = hits.similarities[shift:] > hits.similarities[:-shift]
        peak[:-shift] &= ~(near & later_is_better)
        peak[shift:] &= ~near | later_is_better
    return peak


def _best(hits: _Hits, n: int, distinct: bool) -> _Hits:
    order = np.argsort(-hits.similarities, kind="stable")
    if distinct:
        _, first = np.unique(hits.recordings[order], return_index=True)
        order = order[np.sort(first)]
    return hits.take(order[:n])


def _matches(hits: _Hits, embeddings: Embeddings) -> Iterator[Match]:
    recordings = embeddings.recordings(np.unique(hits.recordings).tolist())
    for rank, (recording_id, start, similarity) in enumerate(zip(*hits, strict=True), 1):
        recording = recordings[int(recording_id)]
        end = float(start) + embeddings.seconds
        if recording.seconds > start:
            end = min(end, recording.seconds)
        yield Match(rank, recording, float(start), end, float(similarity))
