"""What is printed for people: problems, and tables as text."""

import io
import sys
from collections.abc import Iterable

from lib.core.errors import Problem


def show_problems(problems: Iterable[Problem]) -> None:
    """Print a line for each problem to stderr."""
    for problem in problems:
        print(f"warning: {problem}", file=sys.stderr)


def table_text(columns: dict[str, list]) -> str:
    """A table as text, columns by their names: texts flush left, numbers flush right, none as a dash."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name, values in columns.items():
        is_text = any(isinstance(value, str) for value in values)
        table.add_column(name, justify="left" if is_text else "right", no_wrap=True)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*(Text(_cell(value)) for value in row))
    text = io.StringIO()
    Console(file=text, width=sys.maxsize, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().rstrip().splitlines())


def _cell(value: object) -> str:
    if value is None or value != value:  # as NaN is
        return "-"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.2f}" if value == 0 or abs(value) >= 0.1 else f"{value:.2g}"
