"""Labels in the order of start and class, however many there are: what does not fit into memory waits on the disk."""

import csv
import heapq
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import TextIO

from lib.inference.labels import Label

HELD = 100_000
"""Labels that are held in memory, some 20 MB."""


def in_order(pieces: Iterable[list[Label]], names: list[str], folder: Path) -> Iterator[Label]:
    """The labels of all pieces, once the last of these has come. names: classes in their order. folder: for files
    without a name, which are gone at the end, also of a process that is killed.
    """
    rank = {name: i for i, name in enumerate(names)}

    def place(label: Label) -> tuple[float, int]:
        return label.start_time, rank[label.name]

    held: list[Label] = []
    with ExitStack() as stack:
        runs: list[Iterable[Label]] = []
        for piece in pieces:
            held += piece
            if len(held) >= HELD:
                file = stack.enter_context(TemporaryFile("w+", encoding="utf-8", newline="", dir=folder))
                write_rows(file, sorted(held, key=place))
                file.seek(0)
                runs.append(read_rows(file))
                held.clear()
        yield from heapq.merge(*runs, sorted(held, key=place), key=place)


def write_rows(file: TextIO, labels: Iterable[Label]) -> int:
    """Write a line for each label, without losing a digit; returns their number."""
    writer, n = csv.writer(file, lineterminator="\n"), 0
    for name, *numbers in labels:
        writer.writerow([name, *map(repr, numbers)])
        n += 1
    return n


def read_rows(file: TextIO) -> Iterator[Label]:
    """The labels of such lines."""
    for name, *numbers in csv.reader(file):
        yield Label(name, *map(float, numbers))
