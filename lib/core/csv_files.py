"""CSV files that people write, read as text with the line of each row."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from lib.core.errors import DataSetError
from lib.core.files import from_no_formula


def read_csv(
    path: str | Path, columns: Sequence[str], synonyms: Mapping[str, tuple[str, ...]] | None = None
) -> pd.DataFrame:
    """A CSV file as text, whose index is the line of each row.

    Blank lines are skipped. What a row lacks is empty, what it has beyond the header is dropped.

    Args:
        path: the file.
        columns: that it must have, at least.
        synonyms: other names of columns, in lower case, which are taken where a column itself is missing.

    Raises DataSetError.
    """
    path = Path(path)
    header = f"its first line must be {','.join(columns)}" if columns else "its first line must name the columns"
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            rows = [
                (reader.line_num, [from_no_formula(value.strip()) for value in row])
                for row in reader
                if "".join(row).strip()
            ]
    except FileNotFoundError:
        raise DataSetError(path, "no such file", f"add it, {header}") from None
    except UnicodeDecodeError as error:
        raise DataSetError(path, f"is not UTF-8 ({error.reason})", "save it as comma-separated UTF-8 text") from None
    except csv.Error as error:
        raise DataSetError(f"{path}:{reader.line_num}", str(error), "mend the quotes there, or save it again") from None
    if not rows:
        raise DataSetError(path, "is empty", header)
    (_, names), *rows = rows
    names = _translated(names, synonyms or {})
    if missing := [column for column in columns if column not in names]:
        raise DataSetError(path, f"lacks the column {missing[0]}", header)
    lines, values = [line for line, _ in rows], [(row + len(names) * [""])[: len(names)] for _, row in rows]
    table = pd.DataFrame(values, index=lines, columns=names, dtype=str)
    return table.loc[:, ~table.columns.duplicated()]


def _translated(names: list[str], synonyms: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Column names, with the first synonym of a missing one in its place."""
    names = list(names)
    for column, others in synonyms.items():
        known = [name.casefold() for name in names]
        position = next((known.index(other) for other in others if other in known), None)
        if column not in names and position is not None:
            names[position] = column
    return names
