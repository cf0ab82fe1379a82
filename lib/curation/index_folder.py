"""The files of a vector index: vectors as they are stored, a graph of neighbours, and what windows these are.

The last of them, written at the end, names the other two with their digests, so that an interrupted build leaves the
index as it was and a damaged file is noticed.
"""

import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zipfile import BadZipFile

import numpy as np

from lib.core.digests import digest_known_file
from lib.core.files import atomic
from lib.core.parallel import n_processors
from lib.core.progress import progress
from lib.curation.embedding_store import WINDOWS_A_PIECE, Embeddings, EmbeddingStore
from lib.curation.nearest_windows import TINY

if TYPE_CHECKING:
    from usearch.index import Index

LAYOUT = 1
"""Changes with what the files hold."""
CONNECTIVITY = 16
"""Neighbours of a window in the graph."""
EXPANSION_ADD = 48
"""Candidates for them; more make a better graph and take longer to build."""
MOST_PASSED_OVER = 0.2
"""Share of windows that left the embeddings, beyond which the index is rebuilt."""
NO_RECORDING = -1
WINDOWS_FILE = "windows.npz"
COPIED_AT_ONCE = 2**24
"""Bytes."""
_BROKEN = (OSError, BadZipFile, ValueError, KeyError, EOFError, TypeError, AttributeError, NotImplementedError)
"""What reading damaged files raises."""


class IndexContents(NamedTuple):
    """What an index holds.

    Args:
        version: of the embeddings, see Embeddings.version.
        manifest: digest of what all their vectors have in common; "" where recordings have no keys.
        keys: of each recording, by its ID; see EmbeddingStore.keys_by_id.
        digests: of the two other files, by their names: the vectors, then the graph.
        dim: of the vectors.
        recordings: ID of each window's recording, NO_RECORDING where the window left the embeddings, int64 (n,).
        starts: of each window, s, float64 (n,). Windows of a recording follow one another by start.
    """

    version: str
    manifest: str
    keys: dict[int, str]
    digests: dict[str, str]
    dim: int
    recordings: np.ndarray
    starts: np.ndarray

    def paths(self, folder: Path) -> tuple[Path, Path]:
        """The files of the vectors and of the graph."""
        vectors, graph = self.digests
        return folder / vectors, folder / graph


def read_contents(folder: Path) -> IndexContents | None:
    """What an index holds; None if there is none, or it is damaged or of another layout."""
    try:
        with np.load(folder / WINDOWS_FILE, allow_pickle=False) as arrays:
            described: dict[str, Any] = json.loads(bytes(arrays["description"]))
            recordings, starts = arrays["recordings"], arrays["starts"]
        if described.pop("layout") != LAYOUT:
            return None
        described["keys"] = {int(recording): key for recording, key in described["keys"].items()}
        contents = IndexContents(**described, recordings=recordings, starts=starts)
        paths = contents.paths(folder)
        if [digest_known_file(path) for path in paths] == list(contents.digests.values()):
            return contents
    except _BROKEN:
        pass
    return None


def open_graph(folder: Path, contents: IndexContents, precision: type[np.floating]) -> tuple[np.ndarray, "Index"]:
    """The vectors, (n, dim), and the graph; both are read from the disk where they are needed."""
    from usearch.index import Index

    vectors, path = contents.paths(folder)
    graph = Index.restore(str(path), view=True)
    assert graph is not None
    return np.memmap(vectors, precision, "r", shape=(len(contents.recordings), contents.dim)), graph


def update_index(
    embeddings: Embeddings, folder: Path, version: str, current: IndexContents | None = None
) -> IndexContents:
    """Write an index of embeddings of that version; what is still right of the current one is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest, keys = "", dict[int, str]()
    if isinstance(embeddings, EmbeddingStore):
        manifest, keys = embeddings.manifest_digest, embeddings.keys_by_id()
    kept = _still_right(current, manifest, keys) if current else None
    token = uuid.uuid4().hex
    vectors, graph = folder / f"vectors-{token}", folder / f"graph-{token}"
    before = kept.paths(folder) if kept else (None, None)
    try:
        if kept and isinstance(embeddings, EmbeddingStore):
            new = embeddings.recordings(recording for recording in keys if recording not in kept.keys)
            with EmbeddingStore(embeddings.path, [recording.name for recording in new.values()]) as part:
                contents = _copy_vectors(part, vectors, kept, before[0])
        else:
            contents = _copy_vectors(embeddings, vectors)
        stored = np.memmap(vectors, embeddings.precision, "r", shape=(len(contents.recordings), contents.dim))
        _build_graph(stored, graph, before[1], len(kept.recordings) if kept else 0)
        digests = {path.name: digest_known_file(path) for path in (vectors, graph)}
        contents = contents._replace(version=version, manifest=manifest, keys=keys, digests=digests)
        _write_contents(folder, contents)
    except BaseException:
        for path in (vectors, graph):
            path.unlink(missing_ok=True)
        raise
    for path in folder.iterdir():  # those of earlier indexes and interrupted builds; who has one open reads on
        if path.name.startswith(("vectors-", "graph-")) and path.name not in digests:
            path.unlink(missing_ok=True)
    return contents


def _still_right(current: IndexContents, manifest: str, keys: dict[int, str]) -> IndexContents | None:
    """An index without the windows of recordings that changed; None if it is better rebuilt."""
    lasting = [recording for recording, key in current.keys.items() if keys.get(recording) == key]
    recordings = np.where(np.isin(current.recordings, lasting), current.recordings, NO_RECORDING)
    if not manifest or current.manifest != manifest or (recordings == NO_RECORDING).mean() > MOST_PASSED_OVER:
        return None
    return current._replace(recordings=recordings, keys={recording: keys[recording] for recording in lasting})


def _copy_vectors(
    embeddings: Embeddings, path: Path, kept: IndexContents | None = None, before: Path | None = None
) -> IndexContents:
    """Write vectors to a file, behind those that are kept.

    This takes seconds, so that what writes to the embeddings need not wait for the graph, which takes minutes.
    """
    recordings, starts, dim = ([kept.recordings], [kept.starts], kept.dim) if kept else ([], [], 0)
    with path.open("wb") as file:
        if before is not None:
            with before.open("rb") as source:
                while chunk := source.read(COPIED_AT_ONCE):
                    file.write(chunk)
        for piece in progress(embeddings.pieces(), "copy", 1 + embeddings.count() // WINDOWS_A_PIECE, "blocks"):
            file.write(piece.vectors.astype(embeddings.precision).tobytes())
            recordings.append(piece.recordings.astype(np.int64))
            starts.append(piece.starts)
            dim = piece.vectors.shape[1]
    return IndexContents("", "", {}, {}, dim, np.concatenate(recordings), np.concatenate(starts))


def _build_graph(vectors: np.ndarray, path: Path, before: Path | None, begin: int) -> None:
    """Write the graph of vectors (n, dim); an earlier one knows the first `begin` of them.

    Vectors without length have no neighbours.
    """
    from usearch.index import Index

    dim = vectors.shape[1]
    graph = Index(ndim=dim, metric="cos", dtype="i8", connectivity=CONNECTIVITY, expansion_add=EXPANSION_ADD)
    if before is not None:
        graph.load(str(before))
        graph.expansion_add = EXPANSION_ADD  # type: ignore[misc]
    firsts = range(begin, len(vectors), WINDOWS_A_PIECE)
    for first in progress(firsts, "index", len(firsts), "blocks"):
        part = np.array(vectors[first : first + WINDOWS_A_PIECE], np.float32)
        rows = np.flatnonzero(np.linalg.norm(part, axis=1) > TINY)
        if len(rows):
            graph.add(first + rows, part[rows], threads=n_processors())
    graph.save(str(path))


def _write_contents(folder: Path, contents: IndexContents) -> None:
    arrays = ("recordings", "starts")
    described = {name: value for name, value in contents._asdict().items() if name not in arrays}
    description = np.frombuffer(json.dumps({"layout": LAYOUT} | described).encode(), np.uint8)
    with atomic(folder / WINDOWS_FILE) as part, part.open("wb") as file:
        np.savez(file, description=description, recordings=contents.recordings, starts=contents.starts)
