"""A whole search by example: from what its user names to a table and pictures in a folder."""

import time
from pathlib import Path
from typing import NamedTuple

from lib.config import Settings
from lib.console import progress
from lib.curation.database_embeddings import DatabaseEmbeddings
from lib.curation.embedding_store import WINDOWS_A_PIECE, EmbeddingStore
from lib.curation.embeddings import check_model, embed_recordings
from lib.curation.search import Match, make_query, search, write_matches
from lib.curation.search_images import remove_images, write_images
from lib.errors import Problem
from lib.inference.inputs import recordings_of
from lib.inference.predictor import Predictor

RESULTS = "results.csv"
Source = EmbeddingStore | DatabaseEmbeddings


class Found(NamedTuple):
    """What a search found, in how many windows, and how long it looked at these (s)."""

    matches: list[Match]
    windows: int
    seconds: float


def open_source(
    store: str,
    recordings: str | None,
    database: str | None,
    spec_group: str,
    class_name: str | None,
    model: str,
    settings: Settings,
) -> tuple[Source, list[Problem]]:
    """What is to be searched, and problems on the way: a store, or a class and group of a training database.

    recordings: a file, folder or list; only these are searched, and the store gets those that it lacks.
    """
    if database is not None:
        return DatabaseEmbeddings(database, spec_group, class_name), []
    if recordings is None:
        return EmbeddingStore(store), []
    found, problems = recordings_of(recordings)
    done = embed_recordings(found, model, settings, Path(store))
    return EmbeddingStore(store, found), [*problems, *done.problems]


def find(
    source: Source,
    query: str,
    start: float | None,
    end: float | None,
    model: str,
    settings: Settings,
    n: int,
    distinct: bool,
) -> Found:
    """The n windows most like a sound; see make_query and search. Raises EarshotError if a model does not fit."""
    check_model(source, model)
    wanted = make_query(query, source, Predictor(model, settings.infer.device, settings), start, end)
    windows, began = source.count(), time.monotonic()
    pieces = progress(source.pieces(), "search", 1 + windows // WINDOWS_A_PIECE, "blocks")
    matches = search(source, pieces, wanted, n, distinct)
    return Found(matches, windows, time.monotonic() - began)


def write_found(found: Found, source: Source, folder: Path, plot: bool) -> list[Problem]:
    """Write results.csv, and with `plot` a picture of each match, in place of those of an earlier search."""
    remove_images(folder, folder / RESULTS)
    write_matches(folder / RESULTS, found.matches)
    if not plot:
        return []
    pictures = progress(write_images(found.matches, source, folder), "plot", len(found.matches), "pictures")
    return [problem for problem in pictures if problem]
