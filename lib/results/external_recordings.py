"""Recordings of external model runs: how long they are, and digests of their content."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from sqlalchemy import insert, select, update

from lib.audio.reader import probe, stream
from lib.core.databases import usable
from lib.core.errors import AudioError, Problem
from lib.core.files import printable
from lib.core.incremental import Item, Job, Source, key_to_keep, run
from lib.core.parallel import n_processors
from lib.results.prediction_keys import content_of, key_of
from lib.results.results_store import ResultsStore
from lib.results.results_tables import FILE, LABEL, RECORDING


def update_recordings(store: ResultsStore, recordings: Mapping[str, Path]) -> list[Problem]:
    """Put recordings into a store as they are now, all of them or, if this is interrupted, none.

    Known ones whose content has not changed are only hashed. Labels of a recording stay when its file is replaced or
    can no longer be read.

    Returns a Problem for each one that cannot be read.
    """
    job = Job("check", _duration, settings=None, code="", workers=n_processors())
    outcome = run([Item(name, path) for name, path in recordings.items()], job, ExternalRecordings(store))
    store.commit()
    return outcome.problems


def _duration(source: Source) -> Iterator[float]:
    """Seconds of a recording, which is decoded where its header does not tell them."""
    info = probe(source.item.path)
    yield info.seconds or sum(map(len, stream(source.item.path, info.sampling_rate))) / info.sampling_rate


class ExternalRecordings:
    """The recordings of a store, as lib.core.incremental fills it; whoever made the store commits."""

    def __init__(self, store: ResultsStore) -> None:
        self._store, self._connection = store, store.connection

    def upsert(self, name: str, path: str, seconds: float, content: str) -> None:
        """Insert or update a recording with its duration (s) and the digest of its content."""
        labels = select(*list(LABEL.c)[1:]).filter_by(Recording=name)
        with usable(self._store.path, FILE):
            key = key_of(content, map(tuple, self._connection.execute(labels)))
            values = {"Path": path, "Seconds": seconds, "Problems": "[]", "Key": key}
            if self._connection.execute(update(RECORDING).filter_by(Name=name).values(values)).rowcount == 0:
                self._connection.execute(insert(RECORDING), self._store.new_row(name, path, []) | values)

    def keys(self) -> dict[str, str]:
        return {name: content_of(key) for name, key in self._store.keys().items()}

    def prepare(self) -> None:
        pass

    def keep(self, item: Item) -> list[Problem]:
        return []

    def write(self, source: Source, key: str, pieces: Iterator[float], problems: list[Problem]) -> None:
        (seconds,) = pieces
        self.upsert(source.item.name, printable(str(source.item.path)), seconds, key_to_keep(key, problems))

    def fail(self, item: Item, error: AudioError) -> None:
        if not self._store.key(item.name):
            self._store.write_failure(item.name, printable(str(item.path)), error.problem())

    def commit(self) -> None:
        pass
