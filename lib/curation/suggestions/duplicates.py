"""Sounds that are there twice: recordings with the same content, and windows whose embeddings are almost the same.

A duplicate teaches nothing new, and if one of the two is tested on, its figures are too good. Nothing is to be decided
about it (rejecting its class would be wrong): remove the file, or leave it out by data.*.include.
"""

import heapq
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from lib.core.digests import digest_known_file
from lib.core.progress import progress
from lib.curation.database_embeddings import DatabaseEmbeddings
from lib.curation.direction_file import Directions, directions
from lib.curation.embedding_store import WINDOWS_A_PIECE, Embeddings, EmbeddingStore
from lib.curation.suggestion import Suggestion
from lib.curation.suggestions import RANKINGS, Ranking, SuggestionSources
from lib.curation.suggestions.embedded_windows import chosen_embeddings, recording_of, window_suggestion

KIND = "duplicates"
IDENTICAL = 1.0
"""Score of recordings with the same bytes."""
ROUNDING = 1e-6
"""By how much the cosine of equal float32 vectors may differ from 1."""
BLOCK = WINDOWS_A_PIECE // 4
"""Windows that are compared with as many others at once."""


class _Pair(NamedTuple):
    """Two windows by their indices, the later one last, and their cosine."""

    similarity: float
    first: int
    second: int


def rank_duplicates(sources: SuggestionSources) -> list[Suggestion]:
    """Recordings with the same bytes as an earlier one, then windows with almost the same embedding as another one that
    does not overlap them; their score is the cosine, at least sources.least_similarity.

    All windows are compared with those that can be as near, which takes time with the square of their number. Raises
    EarshotError if there are no embeddings.
    """
    with chosen_embeddings(sources) as embeddings:
        with directions(embeddings) as windows:
            same = _same_recordings(embeddings, windows)
            pairs = _near_pairs(windows, embeddings.seconds, set(same), sources.n, sources.least_similarity)
        found = [*_of_recordings(embeddings, same), *_of_windows(embeddings, windows, pairs)]
    return found[: sources.n]


def _same_recordings(embeddings: Embeddings, windows: Directions) -> dict[int, int]:
    """ID of each recording whose bytes are those of an earlier one -> ID of that one."""
    first: dict[str, int] = {}
    same: dict[int, int] = {}
    for recording_id in dict.fromkeys(windows.recordings.tolist()):
        content = _content(embeddings, recording_id)
        if content and first.setdefault(content, recording_id) != recording_id:
            same[recording_id] = first[content]
    return same


def _content(embeddings: Embeddings, recording_id: int) -> str:
    """Digest of a recording's bytes; "": it is not known, or the file is gone."""
    if isinstance(embeddings, DatabaseEmbeddings):
        return embeddings.content(recording_id)
    try:
        return digest_known_file(recording_of(embeddings, recording_id).path)
    except OSError:
        return ""


def _near_pairs(windows: Directions, seconds: float, left_out: set[int], n: int, least: float) -> list[_Pair]:
    """The n most similar pairs of windows, of each window as the later one the most similar pair only.

    Windows are compared in the order of their projection on the direction in which they differ most: two of a cosine
    of `least` or more differ there by at most sqrt(2 - 2 * least), so that most pairs need not be looked at.
    """
    kept = np.flatnonzero(~np.isin(windows.recordings, list(left_out)))
    if not len(kept):
        return []
    least = min(least, 1 - ROUNDING)
    projections = _projections(windows)[kept]
    order = kept[np.argsort(projections, kind="stable")]
    projections = np.sort(projections)
    reach = np.sqrt(max(2 - 2 * least, 0.0)) + 1e-4
    best: dict[int, _Pair] = {}
    blocks = range(0, len(order), BLOCK)
    for begin in progress(blocks, "compare", len(blocks), "blocks"):
        rows = order[begin : begin + BLOCK]
        vectors = np.asarray(windows.vectors[rows])
        until = int(np.searchsorted(projections, projections[min(begin + BLOCK, len(order)) - 1] + reach, "right"))
        for other in range(begin, until, BLOCK):
            columns = order[other : min(other + BLOCK, until)]
            similarities = vectors @ np.asarray(windows.vectors[columns]).T
            for pair in _best_pairs(windows, similarities, rows, columns, seconds, least):
                best[pair.second] = max(best.get(pair.second, pair), pair, key=lambda one: (one[0], -one.first))
        if len(best) > 4 * n + BLOCK:
            best = {pair.second: pair for pair in heapq.nlargest(n, best.values(), key=_merit)}
    return heapq.nlargest(n, best.values(), key=_merit)


def _merit(pair: _Pair) -> tuple[float, int]:
    return pair.similarity, -pair.second


def _projections(windows: Directions) -> np.ndarray:
    """Of each window on the direction in which they differ most, (n,)."""
    dim = windows.vectors.shape[1]
    total, products = np.zeros(dim), np.zeros((dim, dim))
    for block in windows.blocks():
        vectors = np.asarray(windows.vectors[block], np.float64)
        total += vectors.sum(axis=0)
        products += vectors.T @ vectors
    n = len(windows.starts)
    direction = np.linalg.eigh(products / n - np.outer(total / n, total / n))[1][:, -1].astype(np.float32)
    return np.concatenate([np.asarray(windows.vectors[block]) @ direction for block in windows.blocks()])


def _best_pairs(
    windows: Directions, similarities: np.ndarray, rows: np.ndarray, columns: np.ndarray, seconds: float, least: float
) -> Iterator[_Pair]:
    """Of windows (n,) and (m,) with these cosines (n, m): of each later one, the pair with the most similar one."""
    i, j = np.nonzero(similarities >= least)
    first, second = np.minimum(rows[i], columns[j]), np.maximum(rows[i], columns[j])
    is_near = np.abs(windows.starts[first] - windows.starts[second]) < seconds - 1e-6
    apart = (first != second) & ~(is_near & (windows.recordings[first] == windows.recordings[second]))
    values, first, second = similarities[i, j][apart], first[apart], second[apart]
    order = np.lexsort((first, -values, second))
    _, unique = np.unique(second[order], return_index=True)
    for index in order[unique]:
        yield _Pair(float(values[index]), int(first[index]), int(second[index]))


def _of_recordings(embeddings: Embeddings, same: dict[int, int]) -> Iterator[Suggestion]:
    for copy, original in same.items():
        recording, other = recording_of(embeddings, copy), recording_of(embeddings, original)
        path = recording.path if isinstance(embeddings, EmbeddingStore) else ""
        about = recording.name, path, 0.0, float("inf")
        yield Suggestion(*about, "", IDENTICAL, KIND, why=f"the same file as {other.name}")


def _of_windows(embeddings: Embeddings, windows: Directions, pairs: list[_Pair]) -> Iterator[Suggestion]:
    for similarity, first, second in pairs:
        other = recording_of(embeddings, windows.recordings[first])
        why = f"as {other.name} at {windows.starts[first]:.2f} s, similarity {similarity:.4f}"
        place = int(windows.recordings[second]), float(windows.starts[second])
        yield window_suggestion(embeddings, *place, min(similarity, 1.0), KIND, why)


RANKINGS.register(KIND, Ranking("recordings and windows that are there twice", rank_duplicates))
