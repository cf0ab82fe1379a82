"""Occurrence tables: CSV files with one row for each county and class, and eBird bar charts (see lib.occurrence.ebird).

Columns of a CSV file: county_code, county_name, min_x, max_x (longitude, degrees), min_y, max_y (latitude, degrees),
class (its name), w1 .. w48 (0..1, four weeks a month). Further columns are ignored. Rows of one county repeat its name
and box; if all four edges are empty, the box is unknown, and the county is found by its code only.

A bar chart has no box. It is taken from `counties.csv` beside the bar chart, with the columns county_code, county_name,
min_x, max_x, min_y, max_y, or from the rows of the county in a CSV table of the same folder; else it is not known.
"""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lib.core.csv_files import decimal_point, delimiter_of, text_of
from lib.core.errors import EarshotError, Problem
from lib.core.files import printable, read_bytes
from lib.occurrence.counties import NO_BOX, Box, box_fault
from lib.occurrence.ebird import is_bar_chart, read_bar_chart, region_of
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
    box: Box = NO_BOX


class OccurrenceRow(NamedTuple):
    """Values of a class in a county. weeks: float64 (48,), 0..1; box: min_x, max_x, min_y, max_y, degrees or None."""

    county_code: str
    county_name: str
    box: Box
    class_name: str
    weeks: np.ndarray


def read_occurrences(path: str | Path | None) -> tuple[list[OccurrenceRow], list[Problem]]:
    """Read a CSV file or a bar chart, or all of them in a folder, into rows sorted by county code and class name.

    A row that cannot be used is left out and reported. No path, or a folder without such files, gives no rows. Raises
    EarshotError for a path that does not exist and for a file that is not a table of occurrences.
    """
    county_files, tables, charts = _files(path)
    reading = _Reading()
    for file in county_files:
        for where, record in _records(file, COUNTY_COLUMNS):
            with reading.row(where):
                reading.agreed(_place(record), where)
    for file in tables:
        for where, record in _records(file, COLUMNS):
            with reading.row(where):
                reading.add(_place(record), *_values(record), where)
    chart_of: dict[str, str] = {}
    for file in charts:
        name, code = printable(str(file)), region_of(file)
        if chart_of.setdefault(code, name) != name:
            reading.leave_out(name, f"{code} has a bar chart already, {chart_of[code]}")
            continue
        for taxon in read_bar_chart(_text(file), name):
            with reading.row(where := f"{name}:{taxon.line}"):
                reading.add(Place(code, code), taxon.name, taxon.weeks(), where)
    return [reading.rows[key] for key in sorted(reading.rows)], reading.problems


class _Reading:
    """The rows that are read, by county code and class name, and problems of the others."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], OccurrenceRow] = {}
        self.problems: list[Problem] = []
        self._places: dict[str, tuple[Place, str]] = {}
        self._where: dict[tuple[str, str], str] = {}

    @contextmanager
    def row(self, where: str) -> Iterator[None]:
        """Within the block, the row at `file:line` is read; a ValueError leaves it out."""
        try:
            yield
        except ValueError as fault:
            self.leave_out(where, str(fault))

    def leave_out(self, where: str, fault: str) -> None:
        self.problems.append(Problem(where, fault, "left out; correct or remove it"))

    def agreed(self, place: Place, where: str) -> Place:
        """A county as it was described first. Raises ValueError if `place` contradicts that."""
        first, first_where = self._places.setdefault(place.code, (place, where))
        if place.name not in (first.name, place.code) or place.box not in (first.box, NO_BOX):
            raise ValueError(f"name or box of county {place.code} differs from {first_where}")
        return first

    def add(self, place: Place, class_name: str, weeks: np.ndarray, where: str) -> None:
        """Add a row. Raises ValueError if it contradicts or repeats another."""
        place, key = self.agreed(place, where), (place.code, class_name)
        if self._where.setdefault(key, where) != where:
            raise ValueError(f"{class_name} in {place.code} was given before, in {self._where[key]}")
        self.rows[key] = OccurrenceRow(*place, class_name, weeks)


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
        raise EarshotError(path, "no such file or folder", "correct occurrences.path")
    files = sorted(file for file in path.iterdir() if not file.name.startswith("."))
    tables = [file for file in files if file.suffix == ".csv"]
    counties = [file for file in tables if file.name == COUNTIES]
    return counties, [file for file in tables if file not in counties], [file for file in files if is_bar_chart(file)]


def _records(file: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """Each row of a CSV file as `file:line` and its fields by column; surplus fields are under None."""
    name = printable(str(file))
    text = _text(file)
    delimiter = delimiter_of(text, columns)
    reader = csv.DictReader(io.StringIO(text, newline=""), restval="", delimiter=delimiter)
    try:
        header = reader.fieldnames = [column.strip() for column in reader.fieldnames or []]
        if missing := [column for column in columns if column not in header]:
            listed = ", ".join(missing).replace(", ".join(WEEK_COLUMNS), f"w1 .. w{WEEKS}")
            raise EarshotError(file, f"columns missing: {listed}", "add them")
        if repeated := sorted({column for column in columns if header.count(column) > 1}):
            raise EarshotError(file, f"columns given twice: {', '.join(repeated)}", "keep one of each")
        for record in reader:
            yield f"{name}:{reader.line_num}", record
    except csv.Error as error:
        raise EarshotError(f"{name}:{reader.line_num}", str(error), "correct the CSV there") from None


def _text(file: Path) -> str:
    content = read_bytes(file)
    try:
        return text_of(content)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise EarshotError(f"{file}:{line}", "not UTF-8", "save the file as UTF-8") from None


def _place(record: dict[str, str]) -> Place:
    """The county of a row. Raises ValueError."""
    if any(record.get(None, [])):  # type: ignore[call-overload]
        raise ValueError("more fields than columns (columns between decimal commas are separated by semicolons)")
    code, name = _required_text(record, "county_code"), _required_text(record, "county_name")
    box = NO_BOX
    if any(record[edge].strip() for edge in EDGES):
        min_x, max_x, min_y, max_y = (_number(record, edge) for edge in EDGES)
        box = (min_x, max_x, min_y, max_y)
    if fault := box_fault(*box):
        raise ValueError(fault)
    return Place(code, name, box)


def _values(record: dict[str, str]) -> tuple[str, np.ndarray]:
    """Class and values, float64 (48,), of a row. Raises ValueError."""
    weeks = np.array([_number(record, column) for column in WEEK_COLUMNS])
    if len(outside := np.flatnonzero(~((weeks >= 0) & (weeks <= 1)))):
        column = WEEK_COLUMNS[outside[0]]
        raise ValueError(f"{column} = {record[column].strip()} is not within 0..1")
    return _required_text(record, "class"), weeks


def _required_text(record: dict[str, str], column: str) -> str:
    if text := record[column].strip():
        return text
    raise ValueError(f"{column} is empty")


def _number(record: dict[str, str], column: str) -> float:
    text = record[column].strip()
    try:
        return float(decimal_point(text))
    except ValueError:
        raise ValueError(f"{column} = {text!r} is not a number") from None
