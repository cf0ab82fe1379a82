"""The vector index: the windows most like a sound among millions, without a look at each of them.

It is a graph of neighbours (Malkov and Yashunin, Efficient and robust approximate nearest neighbor search using
Hierarchical Navigable Small World graphs, 2020) over vectors of 8 bits a dimension, by usearch. The graph proposes
candidates; their similarities are then computed exactly, from the vectors as they are stored, and the rules of
lib.curation.nearest_windows decide.

An index is a derived folder beside the embeddings. It follows them: new recordings are added to it, those that changed
or left are passed over, and it is rebuilt once many are, or if it is damaged.
"""

import itertools
import threading
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lib.core.errors import EarshotError
from lib.core.locks import sole_writer
from lib.curation.embedding_store import EmbeddingPiece, Embeddings
from lib.curation.index_folder import NO_RECORDING, IndexContents, open_graph, read_contents, update_index
from lib.curation.nearest_windows import SLACK, TINY, Match, Query, nearest_windows

if TYPE_CHECKING:
    from usearch.index import Index

LEAST_WINDOWS = 100_000
"""Fewer are searched one by one in less time than it takes to look after an index."""
EXPANSION_SEARCH = 512
"""Least number of windows that a search keeps in view. tests/benchmarks/test_vector_index.py shows what that gives."""
SPARE = 2
"""Candidates for each window that is wanted: 8 bits do not tell close ones apart."""
MOST_CANDIDATES = 16_384
"""A query that needs more looks at all windows."""
ATTEMPTS = 3


class Candidates(NamedTuple):
    """The windows nearest to vectors, best first: their numbers in the index and similarities, (n_vectors, n) each.

    A number of -1, with similarity -inf, stands where there are fewer.
    """

    rows: np.ndarray
    similarities: np.ndarray


class VectorIndex:
    """An index of embeddings, which must stay open while it is used. Several threads may search.

    open_index gives one.
    """

    def __init__(self, embeddings: Embeddings, contents: IndexContents, vectors: np.ndarray, graph: "Index") -> None:
        self._embeddings, self._contents, self._vectors, self._graph = embeddings, contents, vectors, graph
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Number of windows, with those that are passed over."""
        return len(self._contents.recordings)

    def nearest(self, query: Query, n: int, distinct: bool = False) -> list[Match]:
        """The n windows most like the query, as nearest_windows says, of which a few may be missed.

        Windows without sound, whose vectors have no length, are like nothing and not found.
        """
        wanted = SPARE * n + 32
        while wanted <= min(MOST_CANDIDATES, len(self) // 4):
            found = self.candidates(query.vectors, wanted)
            # A window that is no candidate for any vector of the query is less like it than the last of them.
            least = found.similarities[:, -1].max() - SLACK
            pieces = [self._with_neighbours(found.rows)]
            matches = nearest_windows(self._embeddings, pieces, query, n, distinct)
            if len(matches) == n and matches[-1].similarity >= least:
                return matches
            wanted *= 4
        return nearest_windows(self._embeddings, self._embeddings.pieces(), query, n, distinct)

    def candidates(self, vectors: np.ndarray, n: int) -> Candidates:
        """The n windows nearest to each of some vectors, float32 (n_vectors, dim), of which a few may be missed.

        Raises EarshotError if the vectors are of another dimension.
        """
        vectors = np.asarray(vectors, np.float32)
        if vectors.shape[1] != self._vectors.shape[1]:
            fault = f"they have {self._vectors.shape[1]} dimensions, the query {vectors.shape[1]}"
            raise EarshotError("stored embeddings", fault, "search with the model that made them")
        number = min(len(self), SPARE * n)
        with self._lock:  # the index has one value for all that search it
            self._graph.expansion_search = max(EXPANSION_SEARCH, number)  # type: ignore[misc]
            keys = np.atleast_2d(self._graph.search(vectors, number, threads=1).keys)
        rows, similarities = np.full((len(vectors), n), -1), np.full((len(vectors), n), -np.inf, np.float32)
        for i, (found, vector) in enumerate(zip(keys, vectors, strict=True)):
            found = found[found < len(self)].astype(np.int64)
            found = found[self._contents.recordings[found] != NO_RECORDING]
            exact = self._similarities(found, vector)
            order = np.argsort(-exact, kind="stable")[:n]
            rows[i, : len(order)], similarities[i, : len(order)] = found[order], exact[order]
        return Candidates(rows, similarities)

    def windows(self, rows: np.ndarray) -> EmbeddingPiece:
        """Windows by their numbers, int (n,)."""
        vectors = self._vectors[rows].astype(np.float32)
        return EmbeddingPiece(self._contents.recordings[rows], self._contents.starts[rows], vectors)

    def _similarities(self, rows: np.ndarray, vector: np.ndarray) -> np.ndarray:
        stored = self._vectors[rows].astype(np.float32)
        lengths = np.maximum(np.linalg.norm(stored, axis=1) * np.linalg.norm(vector), TINY)
        return stored @ vector / lengths

    def _with_neighbours(self, rows: np.ndarray) -> EmbeddingPiece:
        """Windows and all that overlap them, in order, so that it shows which of these are better."""
        rows = np.unique(rows[rows >= 0])
        recordings, starts = self._contents.recordings, self._contents.starts
        every = [rows]
        for step in (-1, 1):
            for distance in itertools.count(step, step):
                near = rows + distance
                is_inside = (near >= 0) & (near < len(self))
                here, near = rows[is_inside], near[is_inside]
                overlap = np.abs(starts[near] - starts[here]) < self._embeddings.seconds - SLACK
                near = near[overlap & (recordings[near] == recordings[here])]
                if not len(near):
                    break
                every.append(near)
        return self.windows(np.unique(np.concatenate(every)))


def open_index(embeddings: Embeddings, least: int = LEAST_WINDOWS) -> VectorIndex | None:
    """The index of embeddings, brought up to date; None where looking at all windows is the better way.

    That is where there are fewer than `least`, where they are a part of those in the file, and where nothing may be
    written beside it. Another process that builds the same index is waited for. Raises EarshotError if the disk is
    full, or if the embeddings keep changing.
    """
    if embeddings.version() is None or embeddings.count() < least:
        return None
    folder = embeddings.index_folder
    try:
        with sole_writer(folder, seconds=-1):
            for _ in range(ATTEMPTS):
                version = embeddings.version()
                assert version is not None
                contents = read_contents(folder)
                if contents is None or contents.version != version:
                    contents = update_index(embeddings, folder, version, contents)
                if embeddings.version() == version:
                    vectors, graph = open_graph(folder, contents, embeddings.precision)
                    return VectorIndex(embeddings, contents, vectors, graph)
    except PermissionError:
        return None
    except OSError as error:
        raise EarshotError(
            folder, f"cannot be written ({error.strerror})", "make room, or search with --exact"
        ) from None
    raise EarshotError(embeddings.path, "changes while it is indexed", "wait for what writes to it")
