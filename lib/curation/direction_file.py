"""Directions of many embeddings, in a file of their own while they are compared, so that memory does not grow."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from lib.core.progress import progress
from lib.curation.embedding_store import WINDOWS_A_PIECE, Embeddings

TINY = 1e-12


class Directions(NamedTuple):
    """Windows with embeddings of length 1.

    Args:
        recordings: their IDs, int (n,).
        starts: float64 (n,), s.
        vectors: float32 (n, dim), on disk; silent windows may be 0.
    """

    recordings: np.ndarray
    starts: np.ndarray
    vectors: np.ndarray

    def blocks(self) -> Iterator[slice]:
        """Windows that are read together."""
        return (slice(first, first + WINDOWS_A_PIECE) for first in range(0, len(self.starts), WINDOWS_A_PIECE))


@contextmanager
def directions(embeddings: Embeddings) -> Iterator[Directions]:
    """The directions of all windows of a database or store, as long as the block lasts."""
    recordings, starts, dim = [], [], 0
    with _file_beside(embeddings.path) as file:
        pieces = progress(embeddings.pieces(), "read", 1 + embeddings.count() // WINDOWS_A_PIECE, "blocks")
        for piece in pieces:
            lengths = np.linalg.norm(piece.vectors, axis=1, keepdims=True)
            file.write((piece.vectors / np.maximum(lengths, TINY)).astype(np.float32).tobytes())
            recordings.append(piece.recordings)
            starts.append(piece.starts)
            dim = piece.vectors.shape[1]
        file.flush()
        n = sum(map(len, starts))
        if not n:
            yield Directions(np.empty(0, int), np.empty(0), np.empty((0, dim), np.float32))
            return
        vectors = np.memmap(file, np.float32, "r", shape=(n, dim))
        yield Directions(np.concatenate(recordings), np.concatenate(starts), vectors)


def _file_beside(path: Path) -> IO[bytes]:
    """A file that is gone when it is closed, beside another one, where there is space: /tmp may be in memory."""
    try:
        return tempfile.TemporaryFile(dir=path.parent)
    except OSError:  # nobody may write there
        return tempfile.TemporaryFile()


def nearest_similarity(vectors: np.ndarray, others: Directions) -> np.ndarray:
    """The cosine between each of some directions, float32 (n, dim), and the nearest of others; -1 if there are none."""
    best = np.full(len(vectors), -1.0, np.float32)
    for block in others.blocks():
        np.maximum(best, (vectors @ np.asarray(others.vectors[block]).T).max(axis=1), out=best)
    return best
