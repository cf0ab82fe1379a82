"""Search by example: from a sound that a user names to the windows of recordings that are most like it."""

import os
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lib.audio import reader
from lib.audio.spectrograms import Takes, recording_windows
from lib.config.schema import AudioSettings, Settings
from lib.core.errors import EarshotError
from lib.core.progress import progress
from lib.curation.embedding_store import WINDOWS_A_PIECE, Embeddings
from lib.curation.nearest_windows import SLACK, Match, Query, Stretch, nearest_windows
from lib.curation.recording_embeddings import check_model
from lib.curation.vector_index import open_index
from lib.inference.predictor import Predictor

MOST_QUERY_WINDOWS = 128
BIN_SECONDS = 0.1
"""To which the loudest window of a query is found."""


class SearchResult(NamedTuple):
    """What a search found, among how many windows, and how long it looked at these (s)."""

    matches: list[Match]
    windows: int
    seconds: float


def search_sound(
    embeddings: Embeddings,
    sound: str,
    start: float | None,
    end: float | None,
    model: str,
    settings: Settings,
    n: int,
    distinct: bool,
    exact: bool = False,
) -> SearchResult:
    """The n windows most like a sound; distinct: one of each recording.

    sound: a file, or the name of a recording among the embeddings. start, end: see query_windows. exact: look at each
    window, even where an index could tell. Raises EarshotError if there is no such sound, or if the embeddings were
    made by another model.
    """
    check_model(embeddings, model)
    query = _make_query(sound, embeddings, Predictor(model, settings.infer.device, settings), start, end)
    index = None if exact else open_index(embeddings)
    windows, began = embeddings.count(), time.monotonic()
    if index is not None:
        return SearchResult(index.nearest(query, n, distinct), windows, time.monotonic() - began)
    pieces = progress(embeddings.pieces(), "search", 1 + windows // WINDOWS_A_PIECE, "blocks")
    matches = nearest_windows(embeddings, pieces, query, n, distinct)
    return SearchResult(matches, windows, time.monotonic() - began)


def _make_query(
    sound: str, embeddings: Embeddings, predictor: Predictor, start: float | None, end: float | None
) -> Query:
    if os.path.isfile(sound):
        path, recording = sound, embeddings.recording_at(sound)
    elif recording := embeddings.recording(sound):
        path = recording.path
    else:
        raise EarshotError(sound, "is neither a file nor the name of a recording there", "give one of these")
    starts, windows = query_windows(path, predictor.description.audio, start, end, predictor.description.takes)
    place = Stretch(recording.id, starts[0], starts[-1] + embeddings.seconds) if recording else None
    return Query(predictor.get_embeddings(windows), place)


def query_windows(
    path: str | Path,
    audio: AudioSettings,
    start: float | None = None,
    end: float | None = None,
    takes: Takes = "spectrograms",
) -> tuple[np.ndarray, np.ndarray]:
    """The windows of a sound to search for: starts (s), and what a model takes of them, float32 (n, ...).

    Silent ones are left out, since they would find all that is silent. A stretch shorter than a window is shown in its
    middle; a longer one is cut into windows that overlap by half.

    Args:
        path: a recording.
        audio: settings of the model.
        start, end: of the stretch (s). Without an end, it is the window from the start on; without both, the loudest.
        takes: what the model takes.

    Raises EarshotError if there is no sound, or too much.
    """
    length, n = audio.spec_duration, 1
    first = start if start is not None else 0.0 if end is not None else _loudest_start(path, audio)
    if end is not None:
        if end <= first:
            raise EarshotError(f"--end {end:g}", f"must be behind --start ({first:g} s)")
        if end - first <= length:
            first = max(0.0, (first + end - length) / 2)
        else:
            n = int(np.ceil((end - first - length) / (length / 2) - SLACK)) + 1
    if n > MOST_QUERY_WINDOWS:
        longest = (MOST_QUERY_WINDOWS + 1) / 2 * length
        fault, remedy = "lies too far behind --start", f"choose a stretch of {longest:g} s at most"
        raise EarshotError(f"--end {end:g}", fault, remedy)
    windows = next(recording_windows(path, audio, length / 2, n, first, takes=takes))
    is_sound = windows.inputs.reshape(len(windows.starts), -1).any(axis=1)
    if not is_sound.any():
        raise EarshotError(path, "is silent there", "give another --start and --end")
    return first + windows.starts[is_sound], windows.inputs[is_sound]


def _loudest_start(path: str | Path, audio: AudioSettings) -> float:
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
