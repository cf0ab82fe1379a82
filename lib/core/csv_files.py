"""CSV files: those that people write, read as text with the line of each row; and those that they open."""

import codecs
import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.core.errors import DataSetError
from lib.core.files import atomic_text, read_bytes, write_text

if TYPE_CHECKING:
    import pandas as pd

DELIMITERS = ",;\t"
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
FORMULA = r"'*[=+\-@\t\r]"
FORMULA_STARTS = frozenset("=+-@\t\r'")
"""How text begins that a spreadsheet takes for a formula, or that no_formula has made of such a text."""


def read_csv(
    path: str | Path,
    columns: Sequence[str],
    synonyms: Mapping[str, tuple[str, ...]] | None = None,
) -> "pd.DataFrame":
    """A CSV file as text, whose index is the line of each row.

    Columns are separated by commas, semicolons or tabs. Blank lines are skipped. What a row lacks is empty, what it has
    beyond the header is dropped. Numbers may have decimal commas: read them with number_in or numbers_in.

    Args:
        path: the file.
        columns: that it must have, at least.
        synonyms: other names of columns, in lower case, which are taken where a column itself is missing.

    Raises DataSetError.
    """
    import pandas as pd

    path = Path(path)
    header = f"its first line must be {','.join(columns)}" if columns else "its first line must name the columns"
    try:
        text = text_of(read_bytes(path))
        delimiter = delimiter_of(text, columns, synonyms)
        reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
        rows = [
            (reader.line_num, [from_no_formula(value.strip()) for value in row])
            for row in reader
            if "".join(row).strip() and not (reader.line_num == 1 and "".join(row).startswith("sep="))
        ]
    except FileNotFoundError:
        raise DataSetError(path, "no such file", f"add it, {header}") from None
    except OSError as error:
        raise DataSetError(path, f"cannot be read ({error.strerror})", "check the file and its permissions") from None
    except UnicodeDecodeError as error:
        raise DataSetError(path, f"is not UTF-8 ({error.reason})", "save it as CSV UTF-8") from None
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


def text_of(content: bytes) -> str:
    """Text in UTF-8, or in UTF-16 with a byte order mark, as spreadsheets save it. Raises UnicodeDecodeError."""
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if is_utf16 else "utf-8").removeprefix("\ufeff")


def delimiter_of(text: str, columns: Sequence[str], synonyms: Mapping[str, tuple[str, ...]] | None = None) -> str:
    """What separates the columns of a table: the comma, semicolon or tab by which its header has most of `columns`, or
    most columns at all.
    """
    header = next((line for line in text.splitlines() if line.strip() and not line.startswith("sep=")), "")

    def n_columns(delimiter: str) -> tuple[int, int]:
        names = next(csv.reader([header], delimiter=delimiter), [])
        translated = _translated([name.strip() for name in names], synonyms or {})
        return len(set(columns) & set(translated)), len(names)

    return max(DELIMITERS, key=n_columns)


def decimal_point(text: str) -> str:
    """A number with a decimal comma as one with a point; any other text as it is.

    >>> decimal_point("-3,5"), decimal_point("Owl, great")
    ('-3.5', 'Owl, great')
    """
    return text.replace(",", ".") if DECIMAL_COMMA.fullmatch(text) else text


def number_in(text: str) -> float:
    """A text as a number, which may have a decimal comma; NaN if it is not one.

    >>> number_in("0,25"), number_in("owl")
    (0.25, nan)
    """
    try:
        return float(decimal_point(text.strip()))
    except ValueError:
        return float("nan")


def numbers_in(column: "pd.Series") -> "pd.Series":
    """A column of texts or numbers as float64, NaN where it is not one; texts may have decimal commas."""
    import pandas as pd

    points = column.map(lambda cell: decimal_point(cell.strip()) if isinstance(cell, str) else cell)
    return pd.to_numeric(points, errors="coerce").astype(float)


def _translated(names: list[str], synonyms: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Column names, with the first synonym of a missing one in its place."""
    names = list(names)
    for column, others in synonyms.items():
        known = [name.casefold() for name in names]
        position = next((known.index(other) for other in others if other in known), None)
        if column not in names and position is not None:
            names[position] = column
    return names


def no_formula(cell: Any) -> Any:
    """A cell of a CSV file that no spreadsheet runs: text that looks like a formula gets a ' before it.

    >>> no_formula("=cmd()"), no_formula("-1.5"), no_formula("'=x"), no_formula("Wren")
    ("'=cmd()", '-1.5', "''=x", 'Wren')
    """
    if type(cell) is not str or cell[:1] not in FORMULA_STARTS or not re.match(FORMULA, cell):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def from_no_formula(text: str) -> str:
    """The text of which no_formula made a cell."""
    return text[1:] if text[:1] == "'" and re.match(FORMULA, text) else text


def write_csv(
    path: str | Path, columns: Sequence[str], rows: Iterable[Sequence[object]], escape_formulas: bool = True
) -> None:
    """Write rows as they come, below the names of their columns. escape_formulas: see no_formula."""
    with atomic_text(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([no_formula(cell) for cell in row] if escape_formulas else row for row in rows)


def write_table(path: str | Path, table: "pd.DataFrame", float_format: str | None = "%.6g") -> None:
    """Write a table without its index as CSV, see no_formula."""
    table = table.rename(columns=no_formula)  # a copy
    for name in table.select_dtypes(exclude=["number", "bool"]):
        table[name] = table[name].map(no_formula)
    write_text(path, table.to_csv(index=False, float_format=float_format, lineterminator="\n"))
