"""What a stage shows its user: one line for an error, lines for problems, progress for long work."""

import gc
import inspect
import os
import sys
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

from lib.errors import EarshotError, Problem

Item = TypeVar("Item")


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
    numbers = [key for key, value in inspect.signature(stage).parameters.items() if value.annotation in (int, float)]
    if numbers:
        fire.decorators.SetParseFn(fire.parser.DefaultParseValue, *numbers)(stage)
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


def progress(
    items: Iterable[Item], what: str, total: int, unit: str = "recordings", done: int = 0
) -> Generator[Item, None, None]:
    """Yield the items, showing count, rate and time to go: a bar on a terminal, a line every 15 s elsewhere.

    total: number of items, with the `done` of an earlier run that are not among them.
    """
    from tqdm import tqdm

    terminal = sys.stderr.isatty()
    yield from tqdm(
        items,
        desc=what,
        total=total,
        initial=done,
        unit=f" {unit}",
        file=sys.stderr if terminal else _Lines(sys.stderr),
        mininterval=0.1 if terminal else 15,
        maxinterval=1 if terminal else 60,
        dynamic_ncols=terminal,
        bar_format=None if terminal else "{desc}: {n_fmt}/{total_fmt}{unit}, {rate_noinv_fmt}, {remaining} to go",
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
