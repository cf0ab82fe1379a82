import sqlite3

import numpy as np
import pytest

from lib.core.errors import EarshotError
from lib.occurrence.counties import County
from lib.occurrence.occurrence_database import CountyClass, OccurrenceClass, OccurrenceDatabase, write_database
from lib.occurrence.occurrence_table import read_occurrences
from lib.training_data.training_database import TrainingDatabase

YEAR = [week / 48 for week in range(48)]


@pytest.fixture
def database(tmp_path):
    with OccurrenceDatabase(tmp_path / "test.db") as database:
        yield database


def test_what_is_inserted_is_returned_also_when_the_file_is_opened_again(database):
    ottawa = database.insert_county("Ottawa", "CA-ON-OT", -76.4, -75.2, 44.9, 45.6)
    wren, finch = database.insert_class("wren"), database.insert_class("finch")
    database.insert_occurrences(ottawa, wren, YEAR)
    database.close()
    with OccurrenceDatabase(database.db_path) as again:
        assert again.get_all_counties() == [County(ottawa, "Ottawa", "CA-ON-OT", -76.4, -75.2, 44.9, 45.6)]
        assert again.get_all_classes() == [OccurrenceClass(wren, "wren"), OccurrenceClass(finch, "finch")]
        assert again.get_all_occurrences() == [CountyClass(county_id=ottawa, class_id=wren)]
        assert again.get_occurrences(ottawa, "wren") == YEAR
        assert again.get_occurrences(ottawa, "finch") == again.get_occurrences(9, "wren") == []


@pytest.mark.parametrize("what", ["county", "class"])
def test_deleting_a_county_or_class_takes_its_occurrences_along(database, what):
    counties = [database.insert_county(code, code, 0, 1, 0, 1) for code in "AB"]
    classes = [database.insert_class(name) for name in ("wren", "finch")]
    for county in counties:
        for class_ in classes:
            database.insert_occurrences(county, class_, YEAR)
    if what == "county":
        database.delete_county(counties.pop(0))
    else:
        database.delete_class(classes.pop(0))
    assert database.get_all_occurrences() == [CountyClass(county, class_) for county in counties for class_ in classes]


def test_inserting_twice_or_for_unknown_ids_is_refused(database):
    county, class_ = database.insert_county("A", "A", 0, 1, 0, 1), database.insert_class("wren")
    database.insert_occurrences(county, class_, YEAR)
    for insert in (
        lambda: database.insert_county("again", "A", 0, 1, 0, 1),
        lambda: database.insert_class("wren"),
        lambda: database.insert_occurrences(county, class_, YEAR),
        lambda: database.insert_occurrences(county, 99, YEAR),
        lambda: database.delete_class(99),
    ):
        with pytest.raises(EarshotError, match=r"test\.db: ") as error:
            insert()
        assert "\n" not in str(error.value)
    assert len(database.get_all_counties()) == len(database.get_all_classes()) == 1


@pytest.mark.parametrize("values", [YEAR[:47], [-0.1] * 48, [float("nan")] * 48, [float("inf")] * 48])
def test_values_that_are_no_year_are_refused(database, values):
    with pytest.raises(EarshotError, match=r"give 48 finite values from 0 on"):
        database.insert_occurrences(1, 1, values)


def test_values_need_not_be_fractions_and_ids_may_be_of_numpy(database):
    county, class_ = np.int64(database.insert_county("A", "A", *np.array([0, 1, 0, 1]))), database.insert_class("wren")
    database.insert_occurrences(county, np.int32(class_), [250] * 48)
    assert database.get_all_counties() == [County(1, "A", "A", 0, 1, 0, 1)]
    assert database.get_occurrences(county, "wren") == [250] * 48
    database.delete_county(county)
    assert database.get_all_counties() == database.get_all_occurrences() == []


def test_an_impossible_box_is_refused(database):
    with pytest.raises(EarshotError, match="county A: min_y 5 is above max_y 1"):
        database.insert_county("A", "A", 0, 1, 5, 1)


def test_a_file_that_is_no_database_or_another_one_gives_one_line_and_stays(tmp_path):
    notes, training, other = (tmp_path / f"{name}.db" for name in ("notes", "training", "other"))
    notes.write_text("not a database, but long enough to be taken for the header of one" * 20)
    TrainingDatabase(training).close()
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE County (ID INTEGER PRIMARY KEY)")
    for path in (notes, training, other, notes / "x.db"):
        before = path.read_bytes() if path.is_file() else None
        with pytest.raises(EarshotError, match=f"^{path}: ") as error:
            OccurrenceDatabase(path)
        assert "\n" not in str(error.value)
        assert before is None or path.read_bytes() == before


def test_the_folder_of_a_new_file_is_made_and_the_file_is_known_again(tmp_path):
    OccurrenceDatabase(tmp_path / "new" / "test.db").close()
    with pytest.raises(EarshotError, match="another database"):
        TrainingDatabase(tmp_path / "new" / "test.db")


def test_an_older_file_without_id_but_with_its_tables_is_opened(tmp_path):
    with sqlite3.connect(tmp_path / "old.db") as connection:
        connection.executescript(
            'CREATE TABLE "County" ("ID" INTEGER NOT NULL, "Name" VARCHAR NOT NULL, "Code" VARCHAR NOT NULL,'
            ' "MinX" FLOAT, "MaxX" FLOAT, "MinY" FLOAT, "MaxY" FLOAT, PRIMARY KEY ("ID"), UNIQUE ("Code"));'
            'CREATE TABLE "Class" ("ID" INTEGER NOT NULL, "Name" VARCHAR NOT NULL,'
            ' PRIMARY KEY ("ID"), UNIQUE ("Name"));'
            'CREATE TABLE "Occurrence" ("CountyID" INTEGER NOT NULL REFERENCES "County" ("ID"),'
            ' "ClassID" INTEGER NOT NULL REFERENCES "Class" ("ID"), "Value" BLOB NOT NULL,'
            ' PRIMARY KEY ("CountyID", "ClassID"));'
            "INSERT INTO County VALUES (1, 'A', 'A', 0, 1, 0, 1); INSERT INTO Class VALUES (1, 'wren');"
        )
        connection.execute("INSERT INTO Occurrence VALUES (1, 1, ?)", (np.array(YEAR, "<f8").tobytes(),))
    with OccurrenceDatabase(tmp_path / "old.db") as database:
        assert database.get_occurrences(1, "wren") == YEAR


def test_the_same_rows_give_the_same_bytes_whatever_was_there_before(line, write_csv, tmp_path):
    lines = [line(code, name, {3: 0.25}) for code in "AB" for name in ("wren", "finch")]
    write_database(read_occurrences(write_csv(lines))[0], tmp_path / "one.db")
    write_database(read_occurrences(write_csv(lines[:1]))[0], tmp_path / "two.db")
    (tmp_path / ".two.db.part").write_bytes((tmp_path / "two.db").read_bytes())
    (tmp_path / ".two.db.part-journal").write_bytes(b"left over")
    write_database(read_occurrences(write_csv(lines[::-1]))[0], tmp_path / "two.db")
    assert (tmp_path / "one.db").read_bytes() == (tmp_path / "two.db").read_bytes()
    assert (tmp_path / "one.db").read_bytes()[96:100] == (3_000_000).to_bytes(4, "big")  # not this SQLite's version
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.db", "table.csv", "two.db"]


def test_the_file_can_be_read_with_plain_sqlite(line, database_of):
    with database_of([line("A", "wren", {1: 0.5})]) as database, sqlite3.connect(database.db_path) as connection:
        ((code, name, value),) = connection.execute(
            "SELECT County.Code, Class.Name, Value FROM Occurrence "
            "JOIN County ON County.ID = CountyID JOIN Class ON Class.ID = ClassID"
        )
    assert (code, name) == ("A", "wren") and np.frombuffer(value, "<f8")[:2].tolist() == [0.5, 0]
