"""Search by example: the windows whose embeddings are most like those of a given sound.

The measure is the cosine of the angle between two embeddings (1: same direction), computed exactly for all windows,
piece by piece, so memory does not grow with their number. Of several windows of a query, the most similar one counts.
Of windows of a recording that overlap each other, only those count that are more similar than their neighbours: a
sound is found once, at the window that shows it best.
"""

import csv
import itertools
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from lib.audio import reader
from lib.audio.spectrogram import recording_windows
from lib.config import Audio
from lib.curation.embedding_store import Embeddings, Piece, Recording
from lib.errors import AudioError, EarshotError
from lib.files import atomic

COLUMNS = ["rank", "recording", "path", "start_time", "end_time", "similarity"]
MOST_QUERY_WINDOWS = 128
BIN_SECONDS = 0.1
"""To which the loudest window of a query is found."""
SLACK = 1e-6
"""Seconds by which windows that touch may seem to overlap."""
TINY = 1e-12
"""Shorter vectors are like no other."""


class Match(NamedTuple):
    """A window that was found; times in s from the start of the recording."""

    rank: int
    recording: Recording
    start_time: float
    end_time: float
    similarity: float


class Stretch(NamedTuple):
    """A part of a recording, by its ID, from start to end (s)."""

    recording: int
    start: float
    end: float


class Query(NamedTuple):
    """A sound to search for: embeddings of its windows, float32 (n, dim), and where it stands among the recordings."""

    vectors: np.ndarray
    place: Stretch | None = None


class _Hits(NamedTuple):
    """Windows in the order of rank: recording IDs, starts (s), similarities, each (n,)."""

    recordings: np.ndarray
    starts: np.ndarray
    similarities: np.ndarray


NOTHING = _Hits(np.empty(0, int), np.empty(0), np.empty(0, np.float32))


def search(
    embeddings: Embeddings, pieces: Iterable[Piece], query: Query, n: int, distinct: bool = False
) -> list[Match]:
    """The n windows that are most like the query, best first; of equal ones, in the order of the pieces.

    pieces: those of the embeddings. distinct: one window of a recording. Windows that overlap the query's own place are
    left out. Raises EarshotError if the query's vectors are of another dimension.
    """
    best = NOTHING
    with _one_thread():
        for recordings, starts, similarities in _peaks(_compare(pieces, query, embeddings.seconds), embeddings.seconds):
            enough = best.similarities[-1] if len(best.similarities) == n else -np.inf
            kept = similarities > enough
            if kept.any():
                found = _Hits(recordings[kept], starts[kept], similarities[kept])
                best = _first(_Hits(*map(np.concatenate, zip(best, found, strict=True))), n, distinct)
    return list(_matches(best, embeddings))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Threads would wait for memory, and on a busy machine for each other: one is up to four times as fast."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _compare(pieces: Iterable[Piece], query: Query, seconds: float) -> Iterator[_Hits]:
    """The similarity of each window; -inf for those at the query's own place."""
    directions = F.normalize(torch.from_numpy(np.asarray(query.vectors, np.float32)), eps=TINY).T
    for recordings, starts, vectors in pieces:
        if vectors.shape[1] != len(directions):
            sizes = f"{vectors.shape[1]} dimensions, the query's {len(directions)}"
            raise EarshotError(f"the stored embeddings have {sizes}; search with the model that they were made by")
        x = torch.from_numpy(vectors)
        lengths = torch.linalg.vector_norm(x, dim=1).clamp_min(TINY)
        similarities = ((x @ directions).amax(dim=1) / lengths).numpy()
        if query.place is not None:
            overlapping = (starts < query.place.end - SLACK) & (starts + seconds > query.place.start + SLACK)
            similarities[overlapping & (recordings == query.place.recording)] = -np.inf
        yield _Hits(recordings, starts, similarities)


def _peaks(compared: Iterable[_Hits], seconds: float) -> Iterator[_Hits]:
    """The windows with no better one among those of their recording that they overlap."""
    held = NOTHING
    decided = 0  # of those held, the first that many are only there to be compared with
    for piece in itertools.chain(compared, [None]):
        if piece is not None:
            held = _Hits(*map(np.concatenate, zip(held, piece, strict=True)))
        if not len(held.starts):
            continue
        peak = _is_peak(held, seconds)
        near_end = np.zeros(len(peak), bool)
        if piece is not None:  # what follows may be better than the last ones
            near_end = (held.recordings == held.recordings[-1]) & (held.starts > held.starts[-1] - seconds - SLACK)
        until = int(np.argmax(near_end)) if near_end.any() else len(peak)
        chosen = np.flatnonzero(peak[decided:until] & np.isfinite(held.similarities[decided:until])) + decided
        yield _Hits(*(column[chosen] for column in held))
        context = (held.recordings == held.recordings[-1]) & (held.starts > held.starts[-1] - 2 * seconds - SLACK)
        first = int(np.argmax(context))
        decided = until - first
        held = _Hits(*(column[first:] for column in held))


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


def _first(hits: _Hits, n: int, distinct: bool) -> _Hits:
    order = np.argsort(-hits.similarities, kind="stable")
    if distinct:
        _, first = np.unique(hits.recordings[order], return_index=True)
        order = order[np.sort(first)]
    return _Hits(*(column[order[:n]] for column in hits))


def _matches(hits: _Hits, embeddings: Embeddings) -> Iterator[Match]:
    for rank, (recording_id, start, similarity) in enumerate(zip(*hits, strict=True), 1):
        recording = embeddings.recording(int(recording_id))
        assert recording is not None
        end = float(start) + embeddings.seconds
        if recording.seconds > start:
            end = min(end, recording.seconds)
        yield Match(rank, recording, float(start), end, float(similarity))


def make_query(
    sound: str, embeddings: Embeddings, predictor: Any, start: float | None = None, end: float | None = None
) -> Query:
    """A query for a sound; predictor: of the model that made the embeddings.

    sound: a file, or the name of one of the embeddings' recordings. start, end: see query_spectrograms.
    Raises EarshotError if there is no such sound.
    """
    if os.path.isfile(sound):
        path, recording = Path(sound), embeddings.recording_at(sound)
    else:
        recording = embeddings.recording(sound)
        if recording is None:
            raise EarshotError(f"{sound}: is neither a file nor the name of a recording there; give one of these")
        path = Path(recording.path)
    starts, spectrograms = query_spectrograms(path, predictor.description.audio, start, end)
    place = Stretch(recording.id, starts[0], starts[-1] + embeddings.seconds) if recording else None
    return Query(predictor.get_embeddings(spectrograms), place)


def query_spectrograms(
    path: str | Path, audio: Audio, start: float | None = None, end: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The windows of a sound to search for: starts (s) and spectrograms float32 (n, height, width).

    path: a recording. start, end: the stretch (s) that is meant; without an end, the window that begins at the start;
    without both, the loudest window, since a silent rest would find all that is silent. A stretch shorter than a window
    is shown in its middle; a longer one is cut into windows that overlap by half. Raises EarshotError if there is no
    sound, or too much.
    """
    length = audio.spec_duration
    try:
        first = start if start is not None else 0.0 if end is not None else _loudest_start(path, audio)
        n = 1
        if end is not None:
            if end <= first:
                raise EarshotError(f"--end {end:g}: must be behind --start ({first:g} s)")
            if end - first <= length:
                first = max(0.0, (first + end - length) / 2)
            else:
                n = int(np.ceil((end - first - length) / (length / 2) - SLACK)) + 1
        if n > MOST_QUERY_WINDOWS:
            longest = (MOST_QUERY_WINDOWS + 1) / 2 * length
            raise EarshotError(f"--end {end:g}: lies too far behind --start; choose a stretch of {longest:g} s at most")
        windows = next(recording_windows(path, audio, length / 2, n, first))
    except AudioError as error:
        raise EarshotError(f"{path}: {error}") from None
    sounding = windows.spectrograms.max(axis=(1, 2)) > 0
    if not sounding.any():
        raise EarshotError(f"{path}: is silent there; give another --start and --end")
    return first + windows.starts[sounding], windows.spectrograms[sounding]


def _loudest_start(path: str | Path, audio: Audio) -> float:
    """Start (s) of the stretch as long as a window that holds most energy, to BIN_SECONDS."""
    bin_length = round(BIN_SECONDS * audio.sampling_rate)
    energies, rest = [0.0], np.empty(0, np.float32)
    for block in reader.stream(path, audio.sampling_rate, audio.channel):
        rest = np.concatenate([rest, block])
        whole, rest = np.split(rest, [len(rest) // bin_length * bin_length])
        energies += np.square(whole).reshape(-1, bin_length).sum(axis=1, dtype=np.float64).tolist()
    energies.append(float(np.square(rest, dtype=np.float64).sum()))
    until = np.cumsum(energies)
    n = max(1, round(audio.spec_duration / BIN_SECONDS))
    return 0.0 if len(until) <= n else int(np.argmax(until[n:] - until[:-n])) * BIN_SECONDS


def write_matches(path: str | Path, matches: Iterable[Match]) -> None:
    with atomic(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for rank, recording, start, end, similarity in matches:
            times = (f"{start:.3f}", f"{end:.3f}", f"{similarity:.6f}")
            writer.writerow([rank, recording.name, recording.path, *times])


def show_matches(matches: list[Match]) -> str:
    """The matches as a table for a terminal."""
    lines = [f"{'rank':>4}  {'similarity':>10}  {'start':>10}  {'end':>10}  recording"]
    for rank, recording, start, end, similarity in matches:
        times = f"{_clock(start):>10}  {_clock(end):>10}"
        lines.append(f"{rank:>4}  {similarity:>10.3f}  {times}  {recording.path}")
    return "\n".join(lines)


def _clock(seconds: float) -> str:
    """A time as h:mm:ss.s, without hours where there are none."""
    tenths = round(10 * seconds)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    text = f"{minutes:02}:{tenths / 10:04.1f}" if hours else f"{minutes}:{tenths / 10:04.1f}"
    return f"{hours}:{text}" if hours else text
