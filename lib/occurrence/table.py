"""Occurrence tables as CSV: one row for each county and class, with a value of 0..1 for each of 48 weeks.

Columns: county_code, county_name, min_x, max_x (longitude, degrees), min_y, max_y (latitude, degrees), class (its
name), w1 .. w48. Further columns are ignored. Rows of one county repeat its name and box.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lib.errors import Problem
from lib.files import printable
from lib.occurrence import OccurrenceError
from lib.occurrence.places import box_fault
from lib.occurrence.season import WEEKS

BOX = ("min_x", "max_x", "min_y", "max_y")
WEEK_COLUMNS = tuple(f"w{week}" for week in range(1, WEEKS + 1))
COLUMNS = ("county_code", "county_name", *BOX, "class", *WEEK_COLUMNS)


class Row(NamedTuple):
    """Values of a class in a county. weeks: float64 (48,), 0..1; box: min_x, max_x, min_y, max_y in degrees."""

    county_code: str
    county_name: str
    box: tuple[float, ...]
    class_name: str
    weeks: np.ndarray


def read_occurrences(path: str | Path | None) -> tuple[list[Row], list[Problem]]:
    """Read a CSV file, or all CSV files of a folder, into rows sorted by county code and class name.

    A row that cannot be used is left out and reported. No path, or a folder without a CSV file, gives no rows. Raises
    OccurrenceError for a path that does not exist and for a file that is no table of occurrences.
    """
    rows: dict[tuple[str, str], Row] = {}
    counties: dict[str, tuple[Row, str]] = {}
    read: dict[tuple[str, str], str] = {}
    problems = []
    for where, record in _records(path):
        try:
            row = _parse(record)
            key = row.county_code, row.class_name
            if key in rows:
                raise ValueError(f"{row.class_name} in {row.county_code} was given before, in {read[key]}")
            county, place = counties.setdefault(row.county_code, (row, where))
            if (row.county_name, row.box) != (county.county_name, county.box):
                raise ValueError(f"name or box of county {row.county_code} differs from {place}")
        except ValueError as fault:
            problems.append(Problem(where, str(fault), "row left out; correct it"))
            continue
        rows[key], read[key] = row, where
    return [rows[key] for key in sorted(rows)], problems


def _records(path: str | Path | None) -> Iterator[tuple[str, list[str]]]:
    """Each row of each file as `file:line` and its fields in the order of COLUMNS, then those beyond the header."""
    for file in _files(path):
        name = printable(str(file))
        reader = csv.reader(io.StringIO(_text(file, name), newline=""))
        try:
            header = [column.strip() for column in next(reader, [])]
            _check_header(header, name)
            order = [header.index(column) for column in COLUMNS]
            for fields in filter(None, reader):
                fields += [""] * (len(header) - len(fields))
                surplus = list(filter(None, fields[len(header) :]))
                yield f"{name}:{reader.line_num}", [fields[index].strip() for index in order] + surplus
        except csv.Error as error:
            raise OccurrenceError(f"{name}:{reader.line_num}: {error}; correct the CSV there") from None


def _files(path: str | Path | None) -> list[Path]:
    if path is None:
        return []
    path = Path(path)
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.suffix == ".csv" and not file.name.startswith("."))
    if path.is_file():
        return [path]
    raise OccurrenceError(f"{printable(str(path))}: no such file or folder; correct occurrences.path")


def _text(file: Path, name: str) -> str:
    content = file.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise OccurrenceError(f"{name}:{line}: not UTF-8; save the file as UTF-8") from None


def _check_header(header: list[str], name: str) -> None:
    if missing := [column for column in COLUMNS if column not in header]:
        named = ", ".join(missing).replace(", ".join(WEEK_COLUMNS), f"w1 .. w{WEEKS}")
        raise OccurrenceError(f"{name}: columns missing: {named}; add them, and separate columns with commas")
    if repeated := sorted({column for column in COLUMNS if header.count(column) > 1}):
        raise OccurrenceError(f"{name}: columns given twice: {', '.join(repeated)}; keep one of each")


def _parse(fields: list[str]) -> Row:
    """A row from the fields of COLUMNS. Raises ValueError that says what is wrong."""
    if len(fields) > len(COLUMNS):
        raise ValueError("more fields than columns (is a decimal comma among them?)")
    record = dict(zip(COLUMNS, fields, strict=True))
    for column in ("county_code", "county_name", "class"):
        if not record[column]:
            raise ValueError(f"{column} is empty")
    box = tuple(_number(column, record[column]) for column in BOX)
    if fault := box_fault(*box):
        raise ValueError(fault)
    weeks = [_number(column, record[column]) for column in WEEK_COLUMNS]
    for column, value in zip(WEEK_COLUMNS, weeks, strict=True):
        if not 0 <= value <= 1:
            raise ValueError(f"{column} = {record[column]} is not within 0..1")
    return Row(record["county_code"], record["county_name"], box, record["class"], np.array(weeks))


def _number(column: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{column} = {text!r} is not a number") from None
