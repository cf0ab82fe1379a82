"""Embeddings of the frames and labels of a linked data set, from a store that the embed stage wrote.

A frame or label has the embeddings of those windows of its recording that share more than half of a window's length
with it or, if it is shorter than a window, more than half of its own. So it may have several; the one that is most
like another sound tells how like it the frame is.
"""

import os
from collections.abc import Collection, Iterable, Iterator
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lib.audio.reader import probe
from lib.core.digests import digest_known_file, digest_of
from lib.core.errors import AudioError, EarshotError
from lib.core.files import project_root
from lib.curation.embedding_store import EmbeddingStore
from lib.curation.nearest_windows import SLACK
from lib.curation.store.embedding_rows import VECTORS_A_BLOCK, EmbeddingBlock
from lib.curation.store.frame_source import FrameSummary
from lib.curation.store.linked_truth import LinkedTruth
from lib.curation.vector_index import LEAST_WINDOWS, MOST_CANDIDATES, VectorIndex, open_index

if TYPE_CHECKING:
    import pandas as pd

SOUNDS_A_BLOCK = 2_000
"""Least number of frames or labels that are looked up together; those of a recording are never apart."""
MOST_EXAMPLES = 128
"""Of a search by the index; with more, it is as fast to look at all windows."""
FIRST_CANDIDATES = 256


class _Sound(NamedTuple):
    """A frame, or a label of it (label_id), in a recording from start to end (s)."""

    frame_id: str
    label_id: str
    recording: str
    start: float
    end: float


class LinkedEmbeddings:
    """The embeddings of the frames and labels of a linked data set. They are read at each call.

    Args:
        path: the store.
        truth: the data set.
        data_set: its name.

    Attributes:
        model: names what made the embeddings; sets whose stores were made by the same model have the same.

    Raises EarshotError if the store is missing or damaged. So do the methods, and if the store lacks a recording that
    they need and that can be read, or has another one of its name.
    """

    def __init__(self, path: Path, truth: LinkedTruth, data_set: str) -> None:
        self.path, self._truth, self._data_set = path, truth, data_set
        with EmbeddingStore(path) as store:
            self.model = _model_of(store)

    def has_any(self) -> bool:
        """Whether the store has recordings of names that the data set has."""
        with EmbeddingStore(self.path, self._truth.data_set.recordings) as store:
            return bool(store.chosen_recordings())

    def of_frames(self, frame_ids: Collection[str] | None = None) -> Iterator[EmbeddingBlock]:
        """The embeddings of frames; frame_ids: only of these."""
        frames = self._truth.frames(frame_ids)
        return self._blocks(_sound_of(frame) for frame in frames)

    def of_labels(self, tables: "Iterable[pd.DataFrame]") -> Iterator[EmbeddingBlock]:
        """The embeddings of labels or predictions, given in tables of LABEL_COLUMNS."""
        for table in tables:
            frames = {frame.frame_id: frame.recording for frame in self._truth.frames(set(table["frame_id"]))}
            columns = (table[name] for name in ("frame_id", "label_id", "start_time", "end_time"))
            rows = [row for row in zip(*columns, strict=True) if row[0] in frames]
            yield from self._blocks(_Sound(frame, label, frames[frame], *times) for frame, label, *times in rows)

    def frames_like(
        self, examples: np.ndarray, least: float, least_windows: int = LEAST_WINDOWS
    ) -> dict[str, float] | None:
        """The frames whose similarity to an example is at least `least`, with the highest, found by the vector index.

        Args:
            examples: float32 (n, dim).
            least: a cosine, -1..1.
            least_windows: how many the data set must have.

        Returns None where it is better to look at all of them: in a small data set, with many examples, or where too
        many windows are that similar. A few frames may be missed.
        """
        recordings = self._truth.data_set.recordings
        if len(examples) > MOST_EXAMPLES or least <= 0:  # of windows without sound, an index knows nothing
            return None
        with EmbeddingStore(self.path) as store, EmbeddingStore(self.path, recordings) as chosen:
            if chosen.count() < least_windows or (index := open_index(store, least_windows)) is None:
                return None
            self._check(chosen, recordings)
            similarities = _similar_windows(index, examples, least)
            if similarities is None:
                return None
            rows = np.array(sorted(similarities), np.int64)  # windows of a recording follow one another by start
            found = index.windows(rows)
            known = store.recordings(np.unique(found.recordings).tolist())
            frames: dict[str, float] = {}
            for number, recording in known.items():
                if recording.name not in recordings:
                    continue
                here = np.flatnonzero(found.recordings == number)
                sounds = _Sounds([_sound_of(frame) for frame in self._truth.frames_of([recording.name])])
                for which, window in zip(
                    *sounds.pairs(found.starts[here], store.seconds, recording.seconds), strict=True
                ):
                    frame, similarity = sounds.items[which].frame_id, similarities[int(rows[here[window]])]
                    frames[frame] = max(similarity, frames.get(frame, -1.0))
            return frames

    def _blocks(self, sounds: Iterable[_Sound]) -> Iterator[EmbeddingBlock]:
        """The embeddings of sounds, of which those of a recording follow one another."""
        several: dict[str, list[_Sound]] = {}
        for recording, those in groupby(sounds, attrgetter("recording")):
            several.setdefault(recording, []).extend(those)
            if sum(map(len, several.values())) >= SOUNDS_A_BLOCK:
                yield from self._read(several)
                several = {}
        if several:
            yield from self._read(several)

    def _read(self, sounds: dict[str, list[_Sound]]) -> Iterator[EmbeddingBlock]:
        by_name = {recording: _Sounds(those) for recording, those in sounds.items()}
        with EmbeddingStore(self.path, by_name) as store:
            self._check(store, by_name)
            model, known = _model_of(store), {each.id: each for each in store.chosen_recordings().values()}
            for piece in store.pieces():
                found: list[_Sound] = []
                windows = []
                for number in np.unique(piece.recordings).tolist():
                    here = np.flatnonzero(piece.recordings == number)
                    of_recording = by_name[known[number].name]
                    pairs = of_recording.pairs(piece.starts[here], store.seconds, known[number].seconds)
                    found += [of_recording.items[which] for which in pairs[0].tolist()]
                    windows.append(here[pairs[1]])
                rows = np.concatenate(windows)
                for first in range(0, len(rows), VECTORS_A_BLOCK):
                    part = slice(first, first + VECTORS_A_BLOCK)
                    frames, labels = [each.frame_id for each in found[part]], [each.label_id for each in found[part]]
                    yield EmbeddingBlock(model, frames, labels, piece.vectors[rows[part]])

    def _check(self, store: EmbeddingStore, names: Iterable[str]) -> None:
        """Raise EarshotError if a store does not have these recordings. One that cannot be read has no embeddings."""
        known = store.chosen_recordings()
        for name in names:
            path = self._truth.data_set.recordings[name]
            if name not in known and _is_readable(path):
                fault = f"lacks recording {name!r} of data set {self._data_set!r}"
                raise EarshotError(
                    self.path, fault, f"run the embed stage with --recordings FOLDER --output {self.path}"
                )
            if name in known and _is_other_file(project_root() / known[name].path, path):
                fault = f"has embeddings of {known[name].path} under the name {name!r}, not of {path}"
                raise EarshotError(self.path, fault, "embed the data set into a store of its own (embeddings_url)")


class _Sounds:
    """Frames or labels of a recording, which windows are found for."""

    def __init__(self, items: list[_Sound]) -> None:
        self.items = items
        self._starts, self._ends = np.array([each.start for each in items]), np.array([each.end for each in items])

    def pairs(self, starts: np.ndarray, seconds: float, until: float) -> tuple[np.ndarray, np.ndarray]:
        """The sounds and windows that belong together: their numbers, int (n_pairs,) each.

        Args:
            starts: of the windows (s), ascending.
            seconds: length of a window.
            until: where the recording ends (s).
        """
        ends = np.minimum(self._ends, until)
        first = np.searchsorted(starts, self._starts - seconds, "right")
        n = np.maximum(np.searchsorted(starts, ends, "left") - first, 0)
        sounds = np.repeat(np.arange(len(self.items)), n)
        windows = np.arange(len(sounds)) - np.repeat(np.cumsum(n) - n - first, n)
        shared = np.minimum(starts[windows] + seconds, ends[sounds]) - np.maximum(starts[windows], self._starts[sounds])
        belong = shared > np.minimum(ends - self._starts, seconds)[sounds] / 2 + SLACK
        return sounds[belong], windows[belong]


def _sound_of(frame: FrameSummary) -> _Sound:
    return _Sound(frame.frame_id, "", frame.recording, frame.start_time, frame.end_time)


def _similar_windows(index: VectorIndex, examples: np.ndarray, least: float) -> dict[int, float] | None:
    """The windows at least that similar to an example, by their number in the index; None: there are too many."""
    similar: dict[int, float] = {}
    for example in examples:
        n, is_complete = FIRST_CANDIDATES, False
        while not is_complete:
            if n > min(MOST_CANDIDATES, len(index)):
                return None
            (rows,), (similarities,) = index.candidates(example[None], n)
            is_complete = rows[-1] >= 0 and similarities[-1] < least
            n *= 4
        for row, similarity in zip(rows.tolist(), similarities.tolist(), strict=True):
            if similarity >= least:
                similar[row] = max(similarity, similar.get(row, -1.0))
    return similar


def _model_of(store: EmbeddingStore) -> str:
    return store.models[0] if len(store.models) == 1 else digest_of(store.models)


def _is_readable(path: Path) -> bool:
    try:
        probe(path)
    except AudioError:
        return False
    return True


def _is_other_file(stored: Path, path: Path) -> bool:
    """Whether a recording is another one than that of which a store has embeddings, as far as the latter is there."""
    if not stored.is_file() or os.path.realpath(stored) == os.path.realpath(path):
        return False
    return digest_known_file(stored) != digest_known_file(path)
