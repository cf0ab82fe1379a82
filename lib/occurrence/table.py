"""Occurrence tables: CSV files with one row for each county and class, and eBird bar charts (see lib.occurrence.ebird).

Columns of a CSV file: county_code, county_name, min_x, max_x (longitude, degrees), min_y, max_y (latitude, degrees),
class (its name), w1 .. w48 (0..1, four weeks a month). Further columns are ignored. Rows of one county repeat its name
and box; where all four edges are empty the box is not known, and the county is found by its code only.

A bar chart has no box. It is taken from `counties.csv` beside the bar chart, with the columns county_code, county_name,
min_x, max_x, min_y, max_y, or from the rows of the county in a CSV table of the same folder; else it is not known.
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
from lib.occurrence.ebird import bar_chart_rows, is_bar_chart, region_of
from lib.occurrence.places import NO_BOX, Box, box_fault
from lib.occurrence.season import WEEKS

EDGES = ("min_x", "max_x", "min_y", "max_y")
COUNTY_COLUMNS = ("county_code", "county_name", *EDGES)
WEEK_COLUMNS = tuple(f"w{week}" for week in range(1, WEEKS + 1))
COLUMNS = (*COUNTY_COLUMNS, "class", *WEEK_COLUMNS)
COUNTIES = "counties.csv"


class Place(NamedTuple):
    """A county as a row describes it."""

    code: str
    name: str
    box: Box


class Row(NamedTuple):
    """Values of a class in a county. weeks: float64 (48,), 0..1; box: min_x, max_x, min_y, max_y, degrees or None."""

    county_code: str
    county_name: str
    box: Box
    class_name: str
    weeks: np.ndarray


def read_occurrences(path: str | Path | None) -> tuple[list[Row], list[Problem]]:
    """Read a CSV file or a bar chart, or all of them in a folder, into rows sorted by county code and class name.

    A row that cannot be used is left out and reported. No path, or a folder without such files, gives no rows. Raises
    OccurrenceError for a path that does not exist and for a file that is no table of occurrences.
    """
    counties: dict[str, tuple[Place, str]] = {}
    rows: dict[tuple[str, str], Row] = {}
    read: dict[tuple[str, str], str] = {}
    problems = []
    for where, entry in _entries(path):
        try:
            if isinstance(entry, ValueError):
                raise entry
            place, class_name, weeks = entry
            place = _agreed(place, where, counties)
            if weeks is None:
                continue
            key = place.code, class_name
            if key in rows:
                raise ValueError(f"{class_name} in {place.code} was given before, in {read[key]}")
        except ValueError as fault:
            problems.append(Problem(where, str(fault), "left out; correct or remove it"))
            continue
        rows[key], read[key] = Row(*place, class_name, weeks), where
    return [rows[key] for key in sorted(rows)], problems


Entry = tuple[Place, str, np.ndarray | None]
"""A county, a class and its values; or a county alone."""


def _agreed(place: Place, where: str, counties: dict[str, tuple[Place, str]]) -> Place:
    """A county as it was described first, which `place` must agree with as far as it says something."""
    first, first_where = counties.setdefault(place.code, (place, where))
    if place.name not in (first.name, place.code) or place.box not in (first.box, NO_BOX):
        raise ValueError(f"name or box of county {place.code} differs from {first_where}")
    return first


def _entries(path: str | Path | None) -> Iterator[tuple[str, Entry | ValueError]]:
    """What each row of each file says, or what is wrong with it, with `file:line`; bar charts last."""
    county_files, tables, charts = _files(path)
    for file in county_files:
        for where, record in _records(file, COUNTY_COLUMNS):
            yield where, record if isinstance(record, ValueError) else _tried(_place, record)
    for file in tables:
        for where, record in _records(file, COLUMNS):
            yield where, record if isinstance(record, ValueError) else _tried(_values, record)
    chart_of: dict[str, str] = {}
    for file in charts:
        name, code = printable(str(file)), region_of(file)
        if chart_of.setdefault(code, name) != name:
            yield name, ValueError(f"{code} has a bar chart already, {chart_of[code]}")
            continue
        for line, class_name, weeks in bar_chart_rows(_text(file, name), name):
            place = Place(code, code, NO_BOX)
            yield f"{name}:{line}", weeks if isinstance(weeks, ValueError) else (place, class_name, weeks)


def _files(path: str | Path | None) -> tuple[list[Path], list[Path], list[Path]]:
    """Files of counties, of occurrences, and of bar charts."""
    if path is None:
        return [], [], []
    path = Path(path)
    if path.is_file() and is_bar_chart(path):
        beside = path.with_name(COUNTIES)
        return [beside] if beside.is_file() else [], [], [path]
    if path.is_file():
        return [], [path], []
    if not path.is_dir():
        raise OccurrenceError(f"{printable(str(path))}: no such file or folder; correct occurrences.path")
    files = sorted(file for file in path.iterdir() if not file.name.startswith("."))
    tables = [file for file in files if file.suffix == ".csv"]
    counties = [file for file in tables if file.name == COUNTIES]
    return counties, [file for file in tables if file not in counties], [file for file in files if is_bar_chart(file)]


def _records(file: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str] | ValueError]]:
    """Each row of a CSV file as `file:line` and its fields by column, or what is wrong with it."""
    name = printable(str(file))
    reader = csv.reader(io.StringIO(_text(file, name), newline=""))
    try:
        header = [column.strip() for column in next(reader, [])]
        _check_header(header, columns, name)
        order = [header.index(column) for column in columns]
        for fields in filter(None, reader):
            where = f"{name}:{reader.line_num}"
            if any(fields[len(header) :]):
                yield where, ValueError("more fields than columns (is a decimal comma among them?)")
                continue
            fields += [""] * (len(header) - len(fields))
            yield where, {column: fields[index].strip() for column, index in zip(columns, order, strict=True)}
    except csv.Error as error:
        raise OccurrenceError(f"{name}:{reader.line_num}: {error}; correct the CSV there") from None


def _text(file: Path, name: str) -> str:
    content = file.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise OccurrenceError(f"{name}:{line}: not UTF-8; save the file as UTF-8") from None


def _check_header(header: list[str], columns: tuple[str, ...], name: str) -> None:
    if missing := [column for column in columns if column not in header]:
        named = ", ".join(missing).replace(", ".join(WEEK_COLUMNS), f"w1 .. w{WEEKS}")
        raise OccurrenceError(f"{name}: columns missing: {named}; add them, and separate columns with commas")
    if repeated := sorted({column for column in columns if header.count(column) > 1}):
        raise OccurrenceError(f"{name}: columns given twice: {', '.join(repeated)}; keep one of each")


def _tried(parse, record: dict[str, str]) -> Entry | ValueError:
    try:
        return parse(record)
    except ValueError as fault:
        return fault


def _place(record: dict[str, str]) -> Entry:
    return _county(record), "", None


def _values(record: dict[str, str]) -> Entry:
    if not record["class"]:
        raise ValueError("class is empty")
    place = _county(record)
    weeks = [_number(column, record[column]) for column in WEEK_COLUMNS]
    for column, value in zip(WEEK_COLUMNS, weeks, strict=True):
        if not 0 <= value <= 1:
            raise ValueError(f"{column} = {record[column]} is not within 0..1")
    return place, record["class"], np.array(weeks)


def _county(record: dict[str, str]) -> Place:
    for column in ("county_code", "county_name"):
        if not record[column]:
            raise ValueError(f"{column} is empty")
    box = NO_BOX
    if any(record[edge] for edge in EDGES):
        min_x, max_x, min_y, max_y = (_number(edge, record[edge]) for edge in EDGES)
        box = (min_x, max_x, min_y, max_y)
    if fault := box_fault(*box):
        raise ValueError(fault)
    return Place(record["county_code"], record["county_name"], box)


def _number(column: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{column} = {text!r} is not a number") from None
