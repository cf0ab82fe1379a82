import csv

import pytest

from lib.occurrence.occurrence_database import OccurrenceDatabase, write_database
from lib.occurrence.occurrence_pickle_provider import OccurrencePickleProvider
from lib.occurrence.occurrence_pickler import OccurrencePickler
from lib.occurrence.occurrence_table import COLUMNS, read_occurrences


@pytest.fixture
def line():
    """A function that makes a row of an occurrence table; weeks gives the values that are not 0."""

    def make(code, class_name, weeks, box=(0, 1, 0, 1)):
        return [code, f"County {code}", *box, class_name, *(weeks.get(week, 0) for week in range(1, 49))]

    return make


@pytest.fixture
def write_csv(tmp_path):
    def write(lines, name="table.csv", columns=COLUMNS):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([columns, *lines])
        return path

    return write


@pytest.fixture
def database_of(tmp_path, write_csv):
    """A function from the lines of a table to a database of them."""

    def make(lines):
        rows, problems = read_occurrences(write_csv(lines))
        assert problems == []
        write_database(rows, tmp_path / "occurrences.db")
        return OccurrenceDatabase(tmp_path / "occurrences.db")

    return make


@pytest.fixture
def provider_of(tmp_path, database_of):
    """A function from the lines of a table, by way of database and pickle, to the provider of the pickle."""

    def make(lines):
        database_of(lines).close()
        OccurrencePickler(tmp_path / "occurrences.db", tmp_path / "occurrences.pkl").pickle(quiet=True)
        return OccurrencePickleProvider(tmp_path / "occurrences.pkl")

    return make
