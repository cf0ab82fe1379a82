"""The runner with a store of plain dictionaries, in place of a database."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.core.errors import AudioError, Problem
from lib.core.incremental import Item, Job, Progress, Source, key_to_keep, run


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


def test_a_file_that_changes_while_it_is_read_fails_and_is_read_again(items):
    def read_and_change(source: Source) -> Iterator[str]:
        yield "word"
        if source.item.name == "bb":
            source.item.path.write_text("it is still being copied")

    shelf = Shelf()
    outcome = run(items, Job("read", read_and_change, "settings", "code", 1), shelf)
    assert outcome.failed["bb"].fault == "changed while it was read"
    assert run(items, job("settings", "code"), shelf).new == ["bb"]
