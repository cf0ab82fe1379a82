import inspect
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lib.core.errors import EarshotError
from lib.training_data.training_database import TrainingDatabase

TABLES = (
    *("source", "category", "class", "soundtype", "recording"),
    *("segment", "segment_class", "specgroup", "specvalue"),
)


@pytest.fixture
def db(tmp_path):
    with TrainingDatabase(str(tmp_path / "training.db")) as db:
        yield db


@pytest.fixture
def filled(db):
    """IDs of two classes in three segments of two recordings; the second segment has both, the third has a song."""
    bird, frog = db.insert_category("bird"), db.insert_category("frog")
    source, other = db.insert_source("Xeno-Canto"), db.insert_source("iNaturalist")
    wren = db.insert_class(bird, "Wren", alt_name="Winter Wren", code="WREN", alt_code="ww")
    toad = db.insert_class(frog, "Toad")
    first = db.insert_recording(source, "XC1.mp3", "/data/XC1.mp3", 12.5)
    second = db.insert_recording(other, "N2.mp3", "/data/N2.mp3")
    segments = [db.insert_segment(first, 3.0), db.insert_segment(first, 1.5, audio=b"raw", sampling_rate=32000)]
    segments.append(db.insert_segment(second, 0.0))
    song = db.insert_soundtype("song")
    for segment, class_id, sound in ((0, wren, None), (1, wren, None), (1, toad, None), (2, toad, song)):
        db.insert_segment_class(segments[segment], class_id, soundtype_id=sound)
    wide, default = db.insert_specgroup("wide"), db.get_specgroup({"Name": "default"})[0].id
    values = [db.insert_specvalue(bytes([i]), default, segment) for i, segment in enumerate(segments)]
    values.append(db.insert_specvalue(b"w", wide, segments[0]))
    return SimpleNamespace(**locals())


def test_file_is_made_with_its_folder_and_default_rows(tmp_path):
    path = tmp_path / "new" / "training.db"
    with TrainingDatabase(path) as db:
        assert db.db_path == path and path.is_file()
        assert [row.name for row in db.get_category()] == ["default"]
        assert [row.name for row in db.get_source()] == ["default"]
        assert [row.name for row in db.get_specgroup()] == ["default"]
        for name in ("class", "soundtype", "recording", "segment", "segment_class", "specvalue"):
            assert getattr(db, f"get_{name}")() == []
            assert getattr(db, f"get_{name}_count")() == 0


def test_opening_again_changes_nothing(tmp_path, filled):
    path = tmp_path / "training.db"
    filled.db.optimize()
    before = path.read_bytes()
    with TrainingDatabase(path) as db:
        assert db.get_class_count() == 2
        assert db.get_category_count() == db.get_segment_count() == 3
    assert path.read_bytes() == before


def test_file_of_another_version_is_never_replaced(tmp_path):
    path = tmp_path / "training.db"
    TrainingDatabase(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 1")
    before = path.read_bytes()
    with pytest.raises(EarshotError, match="another version"):
        TrainingDatabase(path)
    assert path.read_bytes() == before


def test_missing_file_is_an_error_where_none_is_to_be_made(tmp_path):
    with pytest.raises(EarshotError, match="no such file"):
        TrainingDatabase(tmp_path / "none.db", create=False)
    assert not (tmp_path / "none.db").exists()


def test_closed_database_says_so(db):
    db.close()
    with pytest.raises(EarshotError, match="was closed"):
        db.get_class()


def values(rows, *names):
    return [tuple(vars(row)[name] for name in names) for row in rows]


def test_rows_hold_what_was_inserted(filled):
    db, f = filled.db, filled
    columns = ("id", "category_id", "name", "alt_name", "code", "alt_code")
    assert values(db.get_class(), *columns) == [  # by name
        (f.toad, f.frog, "Toad", None, None, None),
        (f.wren, f.bird, "Wren", "Winter Wren", "WREN", "ww"),
    ]
    columns = ("id", "source_id", "filename", "path", "seconds", "name", "key", "class_id")
    assert values(db.get_recording(), *columns) == [
        (f.first, f.source, "XC1.mp3", "/data/XC1.mp3", 12.5, "XC1", None, None),  # its segments have two classes
        (f.second, f.other, "N2.mp3", "/data/N2.mp3", 0, "N2", None, f.toad),
    ]
    expected = [
        (f.segments[0], f.first, 3.0, None, None),
        (f.segments[1], f.first, 1.5, 32000, b"raw"),
        (f.segments[2], f.second, 0.0, None, None),
    ]
    columns = ("id", "recording_id", "offset", "sampling_rate", "audio")
    assert values(db.get_segment(include_audio=True), *columns) == expected
    assert values(db.get_segment(), *columns) == [(*row[:-1], None) for row in expected]
    assert values(db.get_segment_class(), "segment_id", "class_id", "soundtype_id") == [
        (f.segments[0], f.wren, None),
        (f.segments[1], f.wren, None),
        (f.segments[1], f.toad, None),
        (f.segments[2], f.toad, f.song),
    ]
    rows = [(segment, f.default, bytes([i]), None) for i, segment in enumerate(f.segments)]
    columns = ("segment_id", "specgroup_id", "value", "embedding")
    assert values(db.get_specvalue(), *columns) == [*rows, (f.segments[0], f.wide, b"w", None)]


@pytest.mark.parametrize(
    ("table", "filters", "n"),
    [
        ("class", {"CategoryName": "bird"}, 1),
        ("class", {"Code": "WREN", "Name": "Toad"}, 0),
        ("recording", {"SourceName": "iNaturalist"}, 1),
        ("segment", {"FileName": "XC1.mp3"}, 2),
        ("segment", {"RecordingID": 1, "Offset": 1.5}, 1),
        ("segment_class", {"ClassName": "Wren"}, 2),
        ("segment_class", {"SoundType": "song"}, 1),
        ("specvalue", {"RecordingID": 2}, 1),
        ("specvalue", {"SegmentID": 1}, 2),
    ],
)
def test_rows_are_filtered_by_their_columns_and_those_of_the_rows_that_they_refer_to(filled, table, filters, n):
    assert getattr(filled.db, f"get_{table}_count")(filters) == len(getattr(filled.db, f"get_{table}")(filters)) == n


@pytest.mark.parametrize(
    ("table", "field", "value"),
    [
        *((table, "Name", "three") for table in ("source", "category", "soundtype", "specgroup")),
        ("class", "Code", "TOAD"),
        ("recording", "Seconds", 7.5),
        ("segment", "Offset", 4.5),
        ("segment_class", "SoundTypeID", 1),
        ("specvalue", "Embedding", b"vector"),
    ],
)
def test_rows_are_updated_and_deleted(filled, table, field, value):
    get, count, update, delete = (
        getattr(filled.db, name)
        for name in (f"get_{table}", f"get_{table}_count", f"update_{table}", f"delete_{table}")
    )
    id, before = get()[0].id, count()
    update(id, field, value)
    (row,) = get({"ID": id, field: value})
    assert isinstance(row, SimpleNamespace) and value in vars(row).values()
    assert delete({"ID": id}) == 1 and delete({"ID": id}) == 0
    assert count() == before - 1


def test_what_must_be_unique_is(filled):
    db, f = filled.db, filled
    for insert in (
        lambda: db.insert_specgroup("wide"),
        lambda: db.insert_category("bird"),
        lambda: db.insert_segment(f.first, 1.5),
        lambda: db.insert_segment_class(f.segments[0], f.wren),
        lambda: db.insert_specvalue(b"x", f.default, f.segments[0]),
    ):
        with pytest.raises(EarshotError, match="already"):
            insert()


def test_rows_of_a_class(filled):
    db, f = filled.db, filled
    assert values(db.get_recording_by_class("Wren"), "id", "filename", "class_id") == [(f.first, "XC1.mp3", f.wren)]
    assert values(db.get_recording_by_class("Toad"), "id", "class_id") == [(f.first, f.toad), (f.second, f.toad)]
    wrens = [(f.segments[1], 1.5, None), (f.segments[0], 3.0, None)]
    assert values(db.get_segment_by_class("Wren"), "id", "offset", "audio") == wrens
    assert db.get_segment_by_class("Wren", include_audio=True)[0].audio == b"raw"
    assert values(db.get_segment_by_class("Toad"), "recording_id") == [(f.first,), (f.second,)]
    assert db.get_recording_by_class("Crow") == db.get_segment_by_class("Crow") == []


def test_spectrograms_of_a_class(filled):
    db, f = filled.db, filled
    columns = ("segment_id", "specvalue_id", "value", "embedding", "recording_id", "filename", "offset")
    assert values(db.get_spectrogram_by_class("Toad"), *columns) == [
        (f.segments[2], f.values[2], b"\2", None, f.second, "N2.mp3", 0.0),
        (f.segments[1], f.values[1], b"\1", None, f.first, "XC1.mp3", 1.5),
    ]
    db.update_specvalue(f.values[2], "Embedding", b"vector")
    row, _ = db.get_spectrogram_by_class("Toad", include_value=False, include_embedding=True)
    assert (row.value, row.embedding) == (None, b"vector")
    assert values(db.get_spectrogram_by_class("Wren", spec_group="wide"), "specvalue_id") == [(f.values[3],)]
    assert len(db.get_spectrogram_by_class("Wren", spec_group=None)) == 3
    assert values(db.get_spectrogram_by_class("Wren", limit=1), "offset") == [(1.5,)]
    assert db.get_spectrogram_by_class('Wr"en') == []


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 7, 10, 11, 50])
def test_a_limit_spreads_the_spectrograms_of_a_class_evenly(filled, limit):
    db = filled.db
    group, newt = db.insert_specgroup("even"), db.insert_class(filled.bird, "Newt")
    with db.transaction():
        for number in reversed(range(10)):
            segment = db.insert_segment(filled.first, 10.0 + number)
            db.insert_segment_class(segment, newt)
            db.insert_specvalue(b"x", group, segment)
    offsets = [row.offset - 10 for row in db.get_spectrogram_by_class("Newt", spec_group="even", limit=limit)]
    n = min(limit, 10)
    assert offsets == [-(-10 * index // n) for index in range(n)]


def test_segment_counts_of_classes_and_recordings(filled):
    filled.db.insert_class(filled.bird, "Crow")
    counts = [("Crow", 0), ("Toad", 2), ("Wren", 2)]
    assert values(filled.db.get_all_segment_counts(), "class_name", "count") == counts
    columns = ("class_name", "code", "filename", "count")
    assert values(filled.db.get_segment_counts_by_recording(), *columns) == [
        ("Toad", None, "N2.mp3", 1),
        ("Toad", None, "XC1.mp3", 1),
        ("Wren", "WREN", "XC1.mp3", 2),
    ]


def test_deleting_reaches_all_that_belongs_to_a_row(filled):
    db = filled.db
    assert db.delete_source({"Name": "Xeno-Canto"}) == 1
    assert (db.get_recording_count(), db.get_segment_count(), db.get_specvalue_count()) == (1, 1, 1)
    assert db.delete_category({"Name": "frog"}) == 1
    assert [row.name for row in db.get_class()] == ["Wren"]
    assert db.get_segment_class_count() == 0
    assert (db.get_segment_count(), db.get_recording_count()) == (0, 1)  # the segment had no other class
    assert db.delete_recording() == 1


def test_segments_that_have_only_a_deleted_class_go_with_it_and_do_not_become_background(filled):
    db = filled.db
    background = db.insert_segment(filled.first, 9.0)
    assert sorted(values(db.get_segment_class(), "segment_id", "class_id")) == [
        (filled.segments[0], filled.wren),
        (filled.segments[1], filled.wren),
        (filled.segments[1], filled.toad),
        (filled.segments[2], filled.toad),
    ]
    assert db.delete_class({"Name": "Wren"}) == 1
    assert [row.id for row in db.get_segment()] == [*filled.segments[1:], background]
    assert db.delete_category({"Name": "frog"}) == 1
    assert [row.id for row in db.get_segment()] == [background]  # it never had a class
    with pytest.raises(RuntimeError), db.transaction():
        db.delete_segment()
        raise RuntimeError
    assert db.get_segment_count() == 1


def test_a_database_of_the_version_before_is_upgraded(tmp_path):
    path = tmp_path / "training.db"
    with TrainingDatabase(path) as db:
        db.insert_recording(db.get_source()[0].id, "a.wav", "a.wav", 3.0)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 3")
        connection.execute('ALTER TABLE "SpecGroup" DROP COLUMN "Unfinished"')
        connection.execute('ALTER TABLE "Recording" DROP COLUMN "Content"')
        connection.execute('ALTER TABLE "SegmentClass" DROP COLUMN "Copied"')
    with TrainingDatabase(path) as db:
        assert values(db.get_recording(), "filename", "content") == [("a.wav", None)]
        assert db.get_segment_class_count({"Copied": 1}) == 0


def test_threads_that_share_a_database_lose_no_rows(db):
    source = db.get_source()[0].id

    def insert(thread: int) -> None:
        for k in range(100):
            db.insert_recording(source, f"{thread}-{k}.wav", "a.wav", 1.0)
            db.get_recording({"FileName": f"{thread}-{k}.wav"})

    def fail(thread: int) -> None:
        for k in range(20):
            with suppress(RuntimeError), db.transaction():
                db.insert_recording(source, f"rolled back {thread}-{k}.wav", "a.wav", 1.0)
                time.sleep(0.001)
                raise RuntimeError

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work, thread) for thread, work in enumerate((insert, insert, fail, fail))]:
            done.result()
    inserted = sorted(f"{thread}-{k}.wav" for thread in (0, 1) for k in range(100))
    assert sorted(row.filename for row in db.get_recording()) == inserted


@pytest.mark.parametrize("table", TABLES)
def test_every_table_has_every_operation_with_its_columns_in_the_help(filled, table):
    db = filled.db
    operations = {
        name: getattr(db, name)
        for name in (f"get_{table}", f"get_{table}_count", f"delete_{table}", f"insert_{table}", f"update_{table}")
    }
    for name, operation in operations.items():
        assert operation.__name__ == name and operation.__doc__
        assert all(len(line) <= 120 for line in operation.__doc__.splitlines())
    for name in (f"get_{table}", f"get_{table}_count", f"delete_{table}"):
        assert next(iter(inspect.signature(operations[name]).parameters)) == "filters"
    assert list(inspect.signature(operations[f"update_{table}"]).parameters) == ["id", "field", "value"]
    rows = operations[f"get_{table}"]()
    assert len(rows) == operations[f"get_{table}_count"]()
    for attribute, value in vars(rows[0]).items():
        if (table, attribute) in {("recording", "class_id"), ("segment", "audio")}:
            continue
        same = operations[f"get_{table}"]({attribute.upper(): value})  # in any case, None included
        assert rows[0] in same
        assert len(same) == operations[f"get_{table}_count"]({attribute: value})
        assert attribute.replace("_", "") in operations[f"get_{table}"].__doc__.lower()


def test_filters_named_in_the_help_work(filled):
    for table in ("class", "recording", "segment", "segment_class", "specvalue"):
        get = getattr(filled.db, f"get_{table}")
        names = " ".join(get.__doc__.split()).partition("Names are")[2].partition("(in any case)")[0].split(",")
        for name in names:
            assert isinstance(get({name.strip(): None}), list)


@pytest.mark.parametrize("table", TABLES)
def test_unknown_column_is_named_with_those_that_there_are(filled, table):
    for operation in (f"get_{table}", f"get_{table}_count", f"delete_{table}"):
        with pytest.raises(EarshotError, match=r"has no column Colour; it has ID, ") as caught:
            getattr(filled.db, operation)({"Colour": 1})
        assert "\n" not in str(caught.value)
    with pytest.raises(EarshotError, match="has no column Colour; it has ID, "):
        getattr(filled.db, f"update_{table}")(1, "Colour", 1)


def test_row_that_is_not_there_cannot_be_updated(filled):
    with pytest.raises(EarshotError, match="no row with ID 99"):
        filled.db.update_class(99, "Name", "Crow")


def test_reference_to_nothing_is_refused(filled):
    with pytest.raises(EarshotError, match="does not exist"):
        filled.db.insert_segment(99, 0.0)
    with pytest.raises(EarshotError, match="must have a value"):
        filled.db.insert_source(None)
    filled.db.insert_source("after an error")


def test_changes_are_on_disk_at_once_or_together(tmp_path, db):
    def names():
        with sqlite3.connect(tmp_path / "training.db") as connection:
            return {name for (name,) in connection.execute("SELECT Name FROM Source")}

    db.insert_source("one")
    assert "one" in names()
    with db.transaction():
        db.insert_source("two")
        with db.transaction():
            db.insert_source("three")
        assert "two" not in names()
    assert {"two", "three"} <= names()
    with pytest.raises(ZeroDivisionError), db.transaction():
        db.insert_source("four")
        raise ZeroDivisionError
    assert "four" not in names() and db.get_source({"Name": "four"}) == []
    db.insert_source("five")
    assert "five" in names()


def test_numbers_of_numpy_are_numbers(filled):
    db = filled.db
    assert db.get_class({"ID": np.int64(filled.wren)})[0].name == "Wren"
    segment = db.insert_segment(np.int64(filled.second), np.float32(4.5))
    db.insert_segment_class(np.int32(segment), np.int64(filled.wren))
    assert db.get_segment({"RecordingID": np.int64(filled.second), "Offset": np.float32(4.5)})[0].id == segment
    db.update_segment(np.int64(segment), "SamplingRate", np.int64(8000))
    assert db.get_segment({"ID": segment})[0].sampling_rate == 8000
    assert db.delete_segment({"ID": np.int64(segment)}) == 1


def test_a_database_that_cannot_be_written_says_so(tmp_path, db):
    db._connection.exec_driver_sql("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(tmp_path / "training.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(EarshotError, match=r"training\.db: database is locked; .*nothing else is using it"):
        db.insert_source("locked")
    other.execute("COMMIT")
    db.insert_source("free")
    other.execute("BEGIN")
    other.execute("SELECT * FROM Source").fetchone()  # who reads keeps others from the end of their writing
    with pytest.raises(EarshotError, match=r"database is locked; .*nothing else is using it"):
        db.insert_source("read")
    with pytest.raises(EarshotError, match="database is locked"), db.transaction():
        db.insert_source("read")
    other.close()
    assert [row.name for row in db.get_source()] == ["default", "free"]
    db._connection.exec_driver_sql("PRAGMA query_only = ON")
    with pytest.raises(EarshotError, match="readonly database; check that you may write there"):
        db.insert_source("readonly")


def test_a_database_may_be_in_memory():
    with TrainingDatabase(":memory:") as db:
        category = db.insert_category("bird")
        assert db.get_category({"ID": category})[0].name == "bird"
    assert not Path(":memory:").exists()


@pytest.mark.parametrize("statement", [1, 4, 9, 14, 20])
def test_a_database_whose_making_was_killed_is_made_by_the_next(tmp_path, statement):
    code = f"""
import os, signal
from sqlalchemy import event
from sqlalchemy.engine import Engine
from lib.training_data.training_database import TrainingDatabase

n = 0
def die(connection, cursor, text, *others):
    global n
    n += text.lstrip().startswith(("CREATE", "PRAGMA application_id", "INSERT"))
    if n == {statement}:
        os.kill(os.getpid(), signal.SIGKILL)

event.listen(Engine, "after_cursor_execute", die)
TrainingDatabase({str(tmp_path / "training.db")!r})
"""
    killed = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    assert killed.returncode == -signal.SIGKILL
    with TrainingDatabase(tmp_path / "training.db") as db:
        assert [row.name for row in db.get_category()] == ["default"]
