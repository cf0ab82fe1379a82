import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, insert, select, text
from sqlalchemy.exc import IntegrityError

from lib.core import databases
from lib.core.databases import Kind, fix_header, insert_rows, open_database, usable, whole_or_nothing
from lib.core.errors import EarshotError

METADATA = MetaData()
BIRD = Table("Bird", METADATA, Column("ID", Integer, primary_key=True), Column("Name", Text))
KIND = Kind("bird list", METADATA, 0x42495244, 2, "run the count stage")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "birds.db"


def names(path) -> list[str]:
    with open_database(path, KIND, create=False).connect() as connection:
        return list(connection.execute(select(BIRD.c.Name).order_by(BIRD.c.ID)).scalars())


def test_a_database_is_made_with_its_tables_and_found_again(path):
    with open_database(path, KIND, create=True).begin() as connection:
        connection.execute(insert(BIRD).values(Name="tern"))
    assert names(path) == ["tern"]


def test_many_rows_are_inserted_by_the_order_of_the_columns_and_replace_others_if_they_may(path):
    with open_database(path, KIND, create=True).begin() as connection:
        insert_rows(connection, BIRD, [(2, "tern"), (1, None)])
        insert_rows(connection, BIRD, [])
        insert_rows(connection, BIRD, [(1, "gull"), (3, "auk")], replace=True)
    assert names(path) == ["gull", "tern", "auk"]
    with open_database(path, KIND, create=False).begin() as connection, pytest.raises(IntegrityError):
        insert_rows(connection, BIRD, [(3, "owl")])


def _other_tables(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE Fish (Name)")


def _other_version(path):
    open_database(path, KIND._replace(version=1), create=True)


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda path: None, "no such file; run the count stage first"),
        (
            lambda path: path.write_bytes(b"text, no database" * 99),
            "cannot be opened (file is not a database); remove it",
        ),
        (lambda path: path.touch(), "is an empty database; run the count stage"),
        (_other_tables, "is another database; give a file of its own"),
        (_other_version, "is a bird list of another version; run the count stage to rebuild it, or give another file"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line_that_says_what_to_do(path, make, line):
    make(path)
    with pytest.raises(EarshotError) as caught:
        open_database(path, KIND, create=False)
    assert str(caught.value).startswith(f"{path}: {line}") and "\n" not in str(caught.value)


def test_a_damaged_page_is_told_where_it_is_read(path):
    with open_database(path, KIND, create=True).begin() as connection:
        connection.execute(insert(BIRD), [{"Name": "x" * 500} for _ in range(100)])
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    path.write_bytes(content)
    remedy = "if it is damaged, remove it and run the count stage"
    with pytest.raises(EarshotError, match=remedy), usable(path, KIND):
        names(path)


def test_what_fails_halfway_leaves_what_was_written_before(path):
    with open_database(path, KIND, create=True).connect() as connection:
        connection.execute(insert(BIRD).values(Name="tern"))
        with pytest.raises(RuntimeError), whole_or_nothing(connection):
            connection.execute(insert(BIRD).values(Name="gull"))
            raise RuntimeError
        connection.execute(insert(BIRD).values(Name="skua"))
        connection.commit()
    assert names(path) == ["tern", "skua"]


def test_a_full_disk_is_told_as_such(path):
    engine = open_database(path, KIND, create=True)
    with engine.connect() as connection:
        connection.execute(text("PRAGMA max_page_count = 10"))
        with pytest.raises(EarshotError, match="database or disk is full"), usable(path, KIND):
            for number in range(100):
                with whole_or_nothing(connection):
                    connection.execute(insert(BIRD).values(Name=f"{number}" * 1000))


def test_bytes_follow_from_content_not_from_how_often_it_was_written(path, tmp_path):
    other = tmp_path / "other.db"
    for file, changes in ((path, 1), (other, 5)):
        engine = open_database(file, KIND, create=True)
        for number in range(changes):
            with engine.begin() as connection:
                connection.execute(BIRD.delete())
                connection.execute(insert(BIRD).values(ID=1, Name="tern" if number == changes - 1 else "gull"))
            with engine.connect() as connection:
                connection.connection.cursor().execute("VACUUM")
        fix_header(file, "0123456789abcdef")
    assert path.read_bytes() == other.read_bytes()
    assert names(path) == ["tern"]


def test_a_header_is_fixed_between_what_other_connections_write(path):
    engine = open_database(path, KIND, create=True)
    with engine.begin() as connection, ThreadPoolExecutor(1) as pool:
        connection.execute(insert(BIRD), [{"Name": "tern" * 1000} for _ in range(100)])  # the file grows by pages
        fixing = pool.submit(fix_header, path, "0123456789abcdef")
        time.sleep(0.3)
        assert not fixing.done()
        connection.commit()
        fixing.result()
    with engine.begin() as connection:
        connection.execute(insert(BIRD).values(Name="gull"))
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    assert len(names(path)) == 101


def test_a_header_that_is_right_needs_no_lock_and_a_file_that_stays_in_use_is_an_error(path, monkeypatch):
    monkeypatch.setattr(databases, "LOCK_SECONDS", 0.1)
    with open_database(path, KIND, create=True).begin() as connection:
        connection.execute(insert(BIRD).values(Name="tern"))
    fix_header(path, "0123456789abcdef")
    with open_database(path, KIND, create=False).connect() as connection:
        connection.exec_driver_sql("BEGIN")
        connection.execute(select(BIRD.c.Name)).first()  # a reader until the transaction ends
        fix_header(path, "0123456789abcdef")
        with pytest.raises(EarshotError, match="is locked"):
            fix_header(path, "fedcba9876543210")
