"""Progress of long work: a bar with rate and time to go on a terminal, a line every LINE_SECONDS elsewhere."""

import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress, Task

Item = TypeVar("Item")
LINE_SECONDS = 15.0
RATE_SECONDS = 0.5
_is_quiet: ContextVar[bool] = ContextVar("is_quiet", default=False)


@contextmanager
def quiet() -> Iterator[None]:
    """Work inside shows no progress: it is a part of longer work that does."""
    token = _is_quiet.set(True)
    try:
        yield
    finally:
        _is_quiet.reset(token)


def progress(
    items: Iterable[Item], what: str, total: int, unit: str = "recordings", done: int = 0
) -> Generator[Item, None, None]:
    """Yield the items, showing how many there were, their rate and the time to go.

    Args:
        items: what is worked through.
        what: the work, in a word.
        total: number of items, with the `done` of an earlier run that are not among them.
        unit: what an item is, as a plural.
        done: number of items that an earlier run has done.
    """
    with _shown(what, total, unit, done) as advance:
        for item in items:
            yield item
            advance(1, "")


@contextmanager
def progress_of_sound(what: str, total: int, unit: str = "recordings") -> Iterator[Callable[[float, float], None]]:
    """Yield a function that is told how much more is done, in recordings and in seconds of sound.

    Parts of a recording count, so that a long one shows progress, too; the rate is in multiples of real time.
    """
    begin, heard = time.monotonic(), 0.0
    with _shown(what, total, unit, 0) as show:

        def advance(recordings: float, seconds: float) -> None:
            nonlocal heard
            heard += seconds
            elapsed = time.monotonic() - begin
            show(recordings, f"{heard / elapsed:.0f}x real time" if heard and elapsed else "")

        yield advance


@contextmanager
def _shown(what: str, total: int, unit: str, done: int) -> Iterator[Callable[[float, str], None]]:
    """Yield a function that is told how many more units are done, and the rate if it is not units a second."""
    if _is_quiet.get():
        yield lambda n, rate: None
        return
    is_terminal = sys.stderr.isatty()
    bar = _bar(is_terminal)
    task_id = bar.add_task(what, total=total, completed=done, unit=unit, rate="")
    task, next_rate, next_line = bar.tasks[0], 0.0, time.monotonic() + LINE_SECONDS

    def advance(n: float, rate: str) -> None:
        nonlocal next_rate, next_line
        now = time.monotonic()
        bar.update(task_id, advance=n)
        if now >= next_rate:  # rich goes through a thousand samples for it
            bar.update(task_id, rate=rate or _rate(task))
            next_rate = now + RATE_SECONDS
        if not is_terminal and now >= next_line:
            print(_line(task), file=sys.stderr, flush=True)
            next_line = now + LINE_SECONDS

    with bar:
        yield advance


def _bar(is_terminal: bool) -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    texts = (
        ("{task.description}", "{task.percentage:>3.0f} %"),
        ("{task.completed:.6g}/{task.total} {task.fields[unit]}",),
    )
    columns = [*map(TextColumn, texts[0]), BarColumn(), *map(TextColumn, texts[1])]
    columns += [TextColumn("{task.fields[rate]}"), TimeRemainingColumn(), TextColumn("to go")]
    return Progress(
        *columns, console=Console(stderr=True), disable=not is_terminal, redirect_stdout=sys.stdout.isatty()
    )


def _rate(task: "Task") -> str:
    unit = task.fields["unit"]
    return f"{task.speed:.3g} {unit}/s" if task.speed else ""


def _line(task: "Task") -> str:
    parts = [f"{task.description}: {task.completed:.6g}/{task.total} {task.fields['unit']}", task.fields["rate"]]
    if task.time_remaining is not None:
        minutes, seconds = divmod(round(task.time_remaining), 60)
        parts.append(f"{minutes // 60}:{minutes % 60:02}:{seconds:02} to go")
    return ", ".join(filter(None, parts))
