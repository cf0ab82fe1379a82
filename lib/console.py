"""What a stage shows its user: one line for an error, lines for problems, progress for long work."""

import gc
import inspect
import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from lib.errors import EarshotError, Problem, SettingsError

Item = TypeVar("Item")
_quiet = False


def run_stage(stage: Callable) -> None:
    """Run a stage function from its command line with Fire; an EarshotError becomes its line and exit status 1."""
    import fire

    # Threads that wait for each other give their processor away soon: two experiments at a time, or a busy machine,
    # take half as long, and a quiet one no longer. It must be said before torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    # Imports make some 100,000 objects that stay: looking for garbage among them at the usual rate takes 0.3 s.
    gc.set_threshold(100_000, 20, 20)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    name = f"python -m stages.{stage.__name__}"
    if {"--help", "-h"} & set(sys.argv[1:]):  # a stage takes any setting as a flag, and would take these for one
        print(fire.helptext.HelpText(stage, fire.trace.FireTrace(stage, name)))
        return
    fire.decorators.SetParseFn(str)(stage)  # or 20240512_053000 would be taken for a number
    for key, parameter in inspect.signature(stage).parameters.items():
        if parameter.annotation in _WORDS:
            fire.decorators.SetParseFn(partial(_typed, key, parameter.annotation), key)(stage)
    try:
        fire.Fire(stage, name=name)
    except EarshotError as error:
        fail(str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        action = "check that the path exists, that you may write there and that it has room"
        fail(f"{where}{error.strerror or error}; {action}")
    except KeyboardInterrupt:
        fail("stopped; run the same command again to go on")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # all is written: to take torch apart, object by object, takes half a second


_WORDS = {int: "a whole number", float: "a number", bool: "true or false"}


def _typed(key: str, kind: type, text: str) -> int | float | bool:
    """The value of a flag of that type. Raises SettingsError."""
    try:
        return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError):
        raise SettingsError(f"--{key} = {text!r}: must be {_WORDS[kind]}") from None


def fail(message: str) -> None:
    """Print an error's lines and leave with exit status 1."""
    for line in message.splitlines():
        print(f"error: {line}", file=sys.stderr)
    raise SystemExit(1)


def show_problems(problems: Iterable[Problem]) -> None:
    """Print a line for each problem."""
    for problem in problems:
        print(f"warning: {problem}", file=sys.stderr)


def say(text: str) -> None:
    """Print a line to standard output, above a progress bar if one is shown."""
    from tqdm import tqdm

    tqdm.write(text)


@contextmanager
def quiet() -> Iterator[None]:
    """Long work inside shows no progress: it is a part of longer work that does."""
    global _quiet
    before, _quiet = _quiet, True
    try:
        yield
    finally:
        _quiet = before


def progress(
    items: Iterable[Item], what: str, total: int, unit: str = "recordings", done: int = 0
) -> Generator[Item, None, None]:
    """Yield the items, showing count, rate and time to go: a bar on a terminal, a line every 15 s elsewhere.

    total: number of items, with the `done` of an earlier run that are not among them.
    """
    if _quiet:
        yield from items
        return
    line = "{desc}: {n_fmt}/{total_fmt}{unit}, {rate_noinv_fmt}, {remaining} to go"
    yield from _bar(items, what, total, unit, done, None, line)


@contextmanager
def progress_of_sound(what: str, total: int) -> Iterator[Callable[[float, float], object]]:
    """Yield a function to be told how much more was done: of how many of the recordings, and how many seconds of sound.

    Parts of a recording count, so that a long one shows progress too. Shows how many, how much faster than the sound
    lasts, and time to go: a bar on a terminal, a line every 15 s elsewhere.
    """
    if _quiet:
        yield lambda recordings, seconds: None
        return
    bar_format = "{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total_fmt}{unit} [{elapsed}<{remaining}{postfix}]"
    bar = _bar(
        None, what, total, "recordings", 0, bar_format, "{desc}: {n:.1f}/{total}{unit}{postfix}, {remaining} to go"
    )
    heard = 0.0

    def advance(recordings: float, seconds: float) -> None:
        nonlocal heard
        heard += seconds
        elapsed = bar.format_dict["elapsed"]
        if heard and elapsed:
            bar.set_postfix_str(f"{heard / elapsed:.0f}x real time", refresh=False)
        bar.update(recordings)

    with bar:
        yield advance
        bar.n = round(bar.n, 6)  # parts add up to the whole


def _bar(items: Iterable | None, what: str, total: int, unit: str, done: int, bar: str | None, line: str) -> Any:
    """A tqdm of these formats on a terminal and elsewhere."""
    from tqdm import tqdm

    terminal = sys.stderr.isatty()
    return tqdm(
        items,
        desc=what,
        total=total,
        initial=done,
        unit=f" {unit}",
        file=sys.stderr if terminal else _Lines(sys.stderr),
        mininterval=0.1 if terminal else 15,
        maxinterval=1 if terminal else 60,
        dynamic_ncols=terminal,
        bar_format=bar if terminal else line,
    )


class _Lines:
    """A stream for tqdm where nobody watches: each state is a line of its own instead of an overwritten one."""

    def __init__(self, stream) -> None:
        self.stream = stream

    def write(self, text: str) -> None:
        if line := text.strip("\r\n "):
            self.stream.write(line + "\n")

    def flush(self) -> None:
        self.stream.flush()


def table_text(columns: dict[str, list]) -> str:
    """A table as text, columns by their names: texts flush left, numbers flush right, none as a dash."""
    cells = {name: [name, *map(_cell, values)] for name, values in columns.items()}
    lines = []
    for name, texts in cells.items():
        width = max(map(len, texts))
        is_text = any(isinstance(value, str) for value in columns[name])
        cells[name] = [text.ljust(width) if is_text else text.rjust(width) for text in texts]
    for row in zip(*cells.values(), strict=True):
        lines.append("  ".join(row).rstrip())
    return "\n".join(lines)


def _cell(value: object) -> str:
    if value is None or value != value:  # as NaN is
        return "-"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.2f}" if value == 0 or abs(value) >= 0.1 else f"{value:.2g}"
