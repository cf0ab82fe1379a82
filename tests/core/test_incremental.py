"""The runner with a store of plain dictionaries, in place of a database."""

import errno
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lib.core.errors import AudioError, EarshotError, Problem, reading
from lib.core.incremental import Item, Job, Progress, Source, check_that_all_was_read, key_to_keep, run
from lib.core.parallel import map_streams


class Shelf:
    """A store: what was committed, and what was not yet."""

    def __init__(self) -> None:
        self.results: dict[str, tuple[str, list[str]]] = {}
        self.kept: list[str] = []
        self.commits = self.prepared = 0

    def keys(self) -> dict[str, str]:
        return {name: key for name, (key, _) in self.results.items()}

    def prepare(self) -> None:
        self.prepared += 1

    def keep(self, item: Item) -> list[Problem]:
        self.kept.append(item.name)
        return []

    def write(self, source: Source, key: str, pieces: Iterator[str], problems: list[Problem]) -> None:
        item = source.item
        self.results.pop(item.name, None)
        words = list(pieces)
        self.results[item.name] = key_to_keep(key, problems), words

    def fail(self, item: Item, error: AudioError) -> None:
        self.results.pop(item.name, None)

    def commit(self) -> None:
        self.commits += 1


def read(source: Source) -> Iterator[str | Progress | Problem]:
    """A file's words; one that is called `broken` ends the reading."""
    words = source.item.path.read_text().split()
    time.sleep(0.01 * (len(source.item.name) % 3))
    for number, word in enumerate(words, 1):
        if word == "broken":
            raise AudioError(source.item.path, "is broken", "mend it")
        yield word
        yield Progress(number, len(words))
    if not words:
        yield Problem(str(source.item.path), "is empty", "write something", lost=False)


def job(settings: object = "settings", code: str = "code", workers: int = 2) -> Job[str]:
    return Job("read", read, settings, code, workers)


@pytest.fixture
def items(tmp_path) -> list[Item]:
    texts = {"a": "one two", "bb": "three", "ccc": "", "d": "four"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return [Item(name, tmp_path / name) for name in texts]


@pytest.mark.parametrize("workers", [1, 4])
def test_results_are_those_of_each_item_in_order_whatever_the_workers(items, workers):
    shelf = Shelf()
    outcome = run(items, job(workers=workers), shelf)
    assert {name: words for name, (_, words) in shelf.results.items()} == {
        "a": ["one", "two"],
        "bb": ["three"],
        "ccc": [],
        "d": ["four"],
    }
    assert list(shelf.results) == outcome.new == ["a", "bb", "ccc", "d"]
    assert [problem.fault for problem in outcome.problems] == ["is empty"] and shelf.commits


def test_what_was_computed_from_the_same_is_kept(items):
    shelf = Shelf()
    run(items, job(), shelf)
    assert run(items, job(), shelf).new == [] and shelf.kept == ["a", "bb", "ccc", "d"]
    assert shelf.prepared == 1  # by the run that found new items


@pytest.mark.parametrize("change", [{"settings": "others"}, {"code": "another"}], ids=["other settings", "other code"])
def test_other_settings_or_code_compute_everything_again(items, change):
    shelf = Shelf()
    run(items, job(), shelf)
    assert run(items, job(**change), shelf).new == ["a", "bb", "ccc", "d"]
    assert run(items, job(**change), shelf).new == []


def test_a_changed_file_or_input_computes_that_item_again(items):
    shelf = Shelf()
    run(items, job(), shelf)
    items[0].path.write_text("another one")
    items[1] = items[1]._replace(inputs={"label": 1})
    assert run(items, job(), shelf).new == ["a", "bb"]


def test_a_file_that_cannot_be_read_fails_alone_and_is_tried_again(items, tmp_path):
    shelf = Shelf()
    items[1].path.write_text("three broken")
    items[3] = Item("d", Path(tmp_path / "missing"))
    outcome = run(items, job(), shelf)
    assert outcome.new == ["a", "ccc"] and list(outcome.failed) == ["bb", "d"] and list(shelf.results) == ["a", "ccc"]
    assert [problem.fault for problem in outcome.problems if problem.lost] == [
        "is broken",
        "cannot be read (No such file or directory)",
    ]
    items[1].path.write_text("three")
    assert run(items, job(), shelf).new == ["bb"]


def test_a_file_that_may_be_whole_later_is_read_again(items):
    def read_a_part(source: Source) -> Iterator[str | Problem]:
        yield source.item.path.read_text().split()[0] if source.item.name != "ccc" else "nothing"
        if source.item.name == "a":
            yield Problem("a", "ends early", "check it", lost=False, again=True)

    shelf = Shelf()
    for new in (["a", "bb", "ccc", "d"], ["a"], ["a"]):
        assert run(items, Job("read", read_a_part, "settings", "code", 2), shelf).new == new
        assert shelf.results["a"][1] == ["one"]


def test_what_the_disk_does_not_give_once_is_read_at_the_end(items):
    failures = ["bb"]

    def fails_once(source: Source) -> Iterator[str | Progress | Problem]:
        if source.item.name in failures:
            failures.remove(source.item.name)
            with reading(source.item.path):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        yield from read(source)

    shelf = Shelf()
    outcome = run(items, replace(job(), read=fails_once), shelf)
    assert outcome.failed == {} and list(shelf.results) == ["a", "ccc", "d", "bb"]
    assert sorted(outcome.new) == ["a", "bb", "ccc", "d"]
    check_that_all_was_read(outcome.problems)


def test_known_results_are_written_again_if_the_disk_gives_their_file_at_the_end(items):
    shelf, failures = Shelf(), ["bb"]
    run(items, job(), shelf)
    expected = dict(shelf.results)
    items[1].path.write_text(items[1].path.read_text())  # the same content, but its digest is not remembered

    def fails_once(work: Callable[[Item], Iterator[Any]], items: Iterable[Item], workers: int) -> Iterator[Any]:
        def read_item(item: Item) -> Iterator[Any]:
            if item.name in failures:
                failures.remove(item.name)
                with reading(item.path):
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
            yield from work(item)

        yield from map_streams(read_item, items, workers)

    outcome = run(items, job(), shelf, fails_once)
    assert not failures and outcome.failed == {} and outcome.new == ["bb"] and shelf.results == expected


def test_dvc_is_told_of_what_the_disk_did_not_give_and_not_of_what_is_damaged(items, monkeypatch):
    def fails(source: Source) -> Iterator[str | Progress | Problem]:
        if source.item.name == "bb":
            with reading(source.item.path):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        if source.item.name == "d":
            raise AudioError(source.item.path, "is broken", "mend it")
        yield from read(source)

    shelf = Shelf()
    outcome = run(items, replace(job(), read=fails), shelf)
    assert list(outcome.failed) == ["d", "bb"] and sorted(shelf.results) == ["a", "ccc"]
    check_that_all_was_read(outcome.problems)
    monkeypatch.setenv("DVC_STAGE", "extract")
    (passing,) = [problem for problem in outcome.problems if problem.again]
    assert passing.fault == "cannot be read (Input/output error)"
    with pytest.raises(EarshotError) as raised:
        check_that_all_was_read(outcome.problems)
    assert str(raised.value).startswith("1 recording could not be read now, see the lines above; run the same command")
    check_that_all_was_read(problem for problem in outcome.problems if problem != passing)


def test_a_file_that_changes_while_it_is_read_fails_and_is_read_again(items):
    def read_and_change(source: Source) -> Iterator[str]:
        yield "word"
        if source.item.name == "bb":
            source.item.path.write_text("it is still being copied")

    shelf = Shelf()
    outcome = run(items, Job("read", read_and_change, "settings", "code", 1), shelf)
    assert outcome.failed["bb"].fault == "changed while it was read"
    assert run(items, job("settings", "code"), shelf).new == ["bb"]
