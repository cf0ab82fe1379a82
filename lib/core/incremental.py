"""Work on many recordings, one after the other, that is done once: the one runner of extract, infer and embed.

Each item has a key, a digest of the file's content, of what else is known of it, of the settings and of the code. A
store keeps results with their keys: what stands there under the same key costs nothing but a look at the file. Files
are read by several workers, ahead of the store, which takes what they yield in the order of the items, so results do
not depend on the number of workers. The store commits every few seconds: a run that is killed resumes there. What the
disk or the network did not give is tried once more at the end.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from lib.core.digests import digest_known_file, digest_of, remembered_digest, state_of
from lib.core.errors import AudioError, EarshotError, Problem, failed_for_a_moment, reading
from lib.core.parallel import map_streams
from lib.core.progress import progress_of_sound
from lib.core.wording import counted

COMMIT_SECONDS = 2.0
AGAIN = " again"
"""What the keys of results end with that are computed again next time."""
Piece = TypeVar("Piece")
Taken = TypeVar("Taken", contravariant=True)


class Item(NamedTuple):
    """A file to work on.

    Args:
        name: by which the store knows it.
        path: the file.
        inputs: plain data that its results depend on, besides the content of the file.
    """

    name: str
    path: Path
    inputs: Any = None


class Source(NamedTuple):
    """What reading starts from: the item, and the digest of its content."""

    item: Item
    content: str


class Progress(NamedTuple):
    """How far a file is read: seconds of sound, of how many (0: unknown)."""

    seconds: float
    total: float = 0.0


@dataclass(frozen=True)
class Job(Generic[Piece]):
    """What is done with each item.

    Args:
        what: the work, in a word.
        read: yields pieces of a file for the store, between them Progress, and Problems that did not keep the file from
            being used. It runs in a worker. Raises AudioError.
        settings: plain data that results depend on.
        code: digest of the code that computes them, see lib.core.code_digest.
        workers: how many files are read at the same time.
    """

    what: str
    read: Callable[[Source], Iterator[Piece | Progress | Problem]]
    settings: Any
    code: str
    workers: int

    def key_of(self, source: Source) -> str:
        return digest_of([source.content, source.item.inputs, self.settings, self.code])


class Store(Protocol[Taken]):
    """What keeps results. None of its methods is called by two threads at a time."""

    def keys(self) -> dict[str, str]:
        """Of the items whose results are there, the key by name."""

    def prepare(self) -> None:
        """Some items are new, and the first of them are being read: do what takes long before the first is written."""

    def keep(self, item: Item) -> list[Problem]:
        """An item's results are there already, and stay; returns the problems that were noted with them."""

    def write(self, source: Source, key: str, pieces: Iterator[Taken], problems: list[Problem]) -> None:
        """Write the results of an item in place of what is there; `problems` is complete once the pieces are taken.

        They are kept with the key that key_to_keep then returns. Where the pieces raise an AudioError, nothing of them
        must stay.
        """

    def fail(self, item: Item, error: AudioError) -> None:
        """An item's file cannot be read: no results of it are to be there."""

    def commit(self) -> None:
        """Make permanent what was written."""


def key_to_keep(key: str, problems: list[Problem]) -> str:
    """The key to keep results with: one that no later run asks for, if the file is to be read again."""
    return key + AGAIN if any(problem.again for problem in problems) else key


@dataclass(frozen=True)
class Outcome:
    """What became of the items: the names of those that were new or changed, and those that failed; and problems."""

    new: list[str]
    failed: dict[str, AudioError]
    problems: list[Problem]


Backend = Callable[[Callable[[Item], Iterable[Any]], Iterable[Item], int], Iterator[tuple[Item, Iterator[Any]]]]
"""What runs a function over items, several at a time, and yields each with the stream of its results, in order."""


def run(items: list[Item], job: Job[Piece], store: Store[Piece], backend: Backend = map_streams) -> Outcome:
    """Bring a store to what the items and the job say; what it holds of other items is not touched."""
    keys, problems = store.keys(), dict[str, list[Problem]]()
    outcome, committed = Outcome([], {}, []), time.monotonic()

    def read(item: Item) -> Iterator[Any]:
        with reading(item.path):
            before = state_of(item.path)
            source = Source(item, digest_known_file(item.path))
            yield source
            if keys.get(item.name) != job.key_of(source):
                yield from job.read(source)
                if state_of(item.path) != before:  # such as one that is still being copied
                    raise failed_for_a_moment(item.path, "changed while it was read")

    def process(items: list[Item], advance: Callable[[float, float], None]) -> None:
        nonlocal committed
        streams = backend(read, items, job.workers)
        if any(item.name not in keys for item in items):
            store.prepare()
        for item, stream in streams:
            done, noted = _Advance(advance), list[Problem]()
            try:
                source = next(stream)
                key = job.key_of(source)
                if keys.get(item.name) == key:
                    noted = store.keep(item)
                else:
                    store.write(source, key, _pieces(stream, noted, done), noted)
                    outcome.new.append(item.name)
            except AudioError as error:
                store.fail(item, error)
                keys.pop(item.name, None)  # what is read again at the end is to be written again, too
                outcome.failed[item.name] = error
                noted = [error.problem()]
            problems[item.name] = noted
            done.finish()
            if time.monotonic() - committed > COMMIT_SECONDS:
                store.commit()
                committed = time.monotonic()

    with progress_of_sound(job.what, len(items)) as advance:
        to_be_read = []
        for item in items:  # most are known, as a rule, and worth no thread of their own
            if _is_known(item, job, keys):
                problems[item.name] = store.keep(item)
                advance(1, 0.0)
            else:
                to_be_read.append(item)
        process(to_be_read, advance)
        once_more = [name for name, error in outcome.failed.items() if error.again]
        for name in once_more:
            del outcome.failed[name]
        process([item for item in to_be_read if item.name in once_more], lambda share, seconds: None)
    store.commit()
    outcome.problems.extend(problem for item in items for problem in problems[item.name])
    return outcome


def check_that_all_was_read(problems: Iterable[Problem]) -> None:
    """Where DVC started this process, raise EarshotError if files are missing that may be read the next time.

    DVC would take the results for complete, and not run the stage again as long as the files stay the same.
    Callers must show the problems first.
    """
    n_missing = sum(problem.again and problem.lost for problem in problems)
    if n_missing and "DVC_STAGE" in os.environ:
        fault = f"{counted(n_missing, 'recording')} could not be read now, see the lines above"
        raise EarshotError("", fault, "run the same command again; what was read is kept")


def _is_known(item: Item, job: Job, keys: dict[str, str]) -> bool:
    """Whether an item's results are kept, if it takes no reading of the file to tell."""
    if item.name not in keys:
        return False
    try:
        content = remembered_digest(item.path)
    except OSError:
        return False
    return content is not None and keys[item.name] == job.key_of(Source(item, content))


class _Advance:
    """Tells the progress of one item as parts of it."""

    def __init__(self, advance: Callable[[float, float], None]) -> None:
        self._advance, self._share, self._seconds = advance, 0.0, 0.0

    def to(self, progress: Progress) -> None:
        share = min(progress.seconds / progress.total, 1.0) if progress.total else self._share
        self._advance(share - self._share, progress.seconds - self._seconds)
        self._share, self._seconds = share, progress.seconds

    def finish(self) -> None:
        self._advance(1 - self._share, 0.0)


def _pieces(stream: Iterator[Any], problems: list[Problem], done: _Advance) -> Iterator[Any]:
    for entry in stream:
        if isinstance(entry, Problem):
            problems.append(entry)
        elif isinstance(entry, Progress):
            done.to(entry)
        else:
            yield entry
