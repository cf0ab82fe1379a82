import inspect
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lib.database import schema
from lib.database.rows import filters_of
from lib.database.training_database import TrainingDatabase
from lib.errors import EarshotError

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
    """Two classes in three segments of two recordings; the second segment has both, the third has a song."""
    with db.transaction():
        return fill(db)


def fill(db):
    bird, frog = db.insert_category("bird"), db.insert_category("frog")
    source, other = db.insert_source("Xeno-Canto"), db.insert_source("iNaturalist")
    wren = db.insert_class(bird, "Wren", alt_name="Winter Wren", code="WREN", alt_code="ww")
    toad = db.insert_class(frog, "Toad")
    first = db.insert_recording(source, "XC1.mp3", "/data/XC1.mp3", 12.5)
    second = db.insert_recording(other, "N2.mp3", "/data/N2.mp3")
    segments = [
        db.insert_segment(first, 3.0),
        db.insert_segment(first, 1.5, audio=b"raw", sampling_rate=32000),
        db.insert_segment(second, 0.0),
    ]
    song = db.insert_soundtype("song")
    db.insert_segment_class(segments[0], wren)
    db.insert_segment_class(segments[1], wren)
    db.insert_segment_class(segments[1], toad)
    db.insert_segment_class(segments[2], toad, soundtype_id=song)
    wide = db.insert_specgroup("wide")
    (default,) = db.get_specgroup({"Name": "default"})
    values = [db.insert_specvalue(bytes([i]), default.id, segment) for i, segment in enumerate(segments)]
    values.append(db.insert_specvalue(b"w", wide, segments[0]))
    return SimpleNamespace(
        db=db,
        bird=bird,
        frog=frog,
        source=source,
        wren=wren,
        toad=toad,
        first=first,
        second=second,
        segments=segments,
        song=song,
        wide=wide,
        default=default.id,
        values=values,
    )


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
    before = path.read_bytes()
    with TrainingDatabase(path) as db:
        assert db.get_class_count() == 2
        assert db.get_category_count() == 3
    assert path.read_bytes() == before


def test_file_of_another_version_is_never_replaced(tmp_path):
    path = tmp_path / "training.db"
    TrainingDatabase(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {schema.VERSION - 1}")
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


@pytest.mark.parametrize("table", ["source", "category", "soundtype", "specgroup"])
def test_tables_of_names(db, table):
    get, insert, count, delete, update = (
        getattr(db, name)
        for name in (f"get_{table}", f"insert_{table}", f"get_{table}_count", f"delete_{table}", f"update_{table}")
    )
    before = count()
    first, second = insert("one"), insert(name="two")
    assert count() == before + 2 and count({"Name": "one"}) == 1
    (row,) = get({"ID": second})
    assert isinstance(row, SimpleNamespace) and (row.id, row.name) == (second, "two")
    assert [row.id for row in get()][before:] == [first, second]
    assert get({"ID": first, "Name": "two"}) == []
    update(first, "Name", "three")
    assert [row.name for row in get({"ID": first})] == ["three"]
    with pytest.raises(EarshotError, match="stands there already"):
        insert("two")
    assert delete({"Name": "two"}) == 1 and delete({"Name": "two"}) == 0
    assert count() == before + 1


def test_classes(filled):
    db = filled.db
    toad, wren = db.get_class()  # by name
    assert vars(wren) == {
        "id": filled.wren,
        "category_id": filled.bird,
        "name": "Wren",
        "alt_name": "Winter Wren",
        "code": "WREN",
        "alt_code": "ww",
    }
    assert (toad.name, toad.code, toad.alt_name, toad.alt_code) == ("Toad", None, None, None)
    assert db.get_class({"Code": "WREN"}) == db.get_class({"CategoryName": "bird"}) == [wren]
    assert db.get_class_count({"CategoryID": filled.frog}) == 1
    db.update_class(filled.toad, "Code", "TOAD")
    assert db.get_class({"Code": "TOAD"})[0].id == filled.toad
    assert db.delete_class({"Name": "Toad"}) == 1
    assert db.get_segment_class_count() == 2


def test_recordings(filled):
    db = filled.db
    first, second = db.get_recording()
    expected = {"id": filled.first, "source_id": filled.source, "filename": "XC1.mp3", "path": "/data/XC1.mp3"}
    assert expected.items() <= vars(first).items()
    assert (first.seconds, second.seconds) == (12.5, 0)
    assert (first.class_id, second.class_id) == (None, filled.toad)  # the first has two
    assert (first.name, first.key) == ("XC1", None)
    assert db.get_recording({"FileName": "N2.mp3"}) == db.get_recording({"SourceName": "iNaturalist"}) == [second]
    assert db.get_recording_count({"SourceID": filled.source}) == 1
    db.update_recording(filled.second, "Seconds", 7.5)
    assert db.get_recording({"ID": filled.second})[0].seconds == 7.5
    assert db.delete_recording({"FileName": "XC1.mp3"}) == 1
    assert [segment.id for segment in db.get_segment()] == filled.segments[2:]


def test_recordings_of_a_class(filled):
    db = filled.db
    (wren,) = db.get_recording_by_class("Wren")
    assert (wren.id, wren.filename, wren.class_id) == (filled.first, "XC1.mp3", filled.wren)
    toads = db.get_recording_by_class("Toad")
    assert [row.id for row in toads] == [filled.first, filled.second]
    assert {row.class_id for row in toads} == {filled.toad}
    assert db.get_recording_by_class("Crow") == []


def test_segments(filled):
    db = filled.db
    rows = db.get_segment()
    assert [row.id for row in rows] == filled.segments
    assert [row.offset for row in rows] == [3.0, 1.5, 0.0]
    assert [row.recording_id for row in rows] == [filled.first, filled.first, filled.second]
    assert [row.sampling_rate for row in rows] == [None, 32000, None]
    assert [row.audio for row in rows] == [None, None, None]
    assert [row.audio for row in db.get_segment(include_audio=True)] == [None, b"raw", None]
    assert [row.id for row in db.get_segment({"FileName": "N2.mp3"})] == filled.segments[2:]
    assert [row.id for row in db.get_segment({"RecordingID": filled.first, "Offset": 1.5})] == [filled.segments[1]]
    assert db.get_segment_count({"RecordingID": filled.first}) == 2
    db.update_segment(filled.segments[0], "Offset", 4.5)
    assert db.get_segment({"ID": filled.segments[0]})[0].offset == 4.5
    with pytest.raises(EarshotError, match="stands there already"):
        db.insert_segment(filled.first, 1.5)
    assert db.delete_segment({"ID": filled.segments[0]}) == 1
    assert db.get_specvalue_count() == 2 and db.get_segment_class_count() == 3


def test_segments_of_a_class(filled):
    wrens = filled.db.get_segment_by_class("Wren")
    assert [(row.id, row.offset) for row in wrens] == [(filled.segments[1], 1.5), (filled.segments[0], 3.0)]
    assert [row.audio for row in wrens] == [None, None]
    assert filled.db.get_segment_by_class("Wren", include_audio=True)[0].audio == b"raw"
    assert [row.recording_id for row in filled.db.get_segment_by_class("Toad")] == [filled.first, filled.second]


def test_segment_counts_name_every_class(filled):
    filled.db.insert_class(filled.bird, "Crow")
    counts = filled.db.get_all_segment_counts()
    assert [(row.class_name, row.count) for row in counts] == [("Crow", 0), ("Toad", 2), ("Wren", 2)]


def test_segment_classes(filled):
    db = filled.db
    rows = db.get_segment_class()
    assert [(row.segment_id, row.class_id, row.soundtype_id) for row in rows] == [
        (filled.segments[0], filled.wren, None),
        (filled.segments[1], filled.wren, None),
        (filled.segments[1], filled.toad, None),
        (filled.segments[2], filled.toad, filled.song),
    ]
    assert db.get_segment_class_count({"ClassName": "Wren"}) == 2
    assert db.get_segment_class_count({"SoundType": "song"}) == 1
    with pytest.raises(EarshotError, match="stands there already"):
        db.insert_segment_class(filled.segments[0], filled.wren)
    db.update_segment_class(rows[0].id, "SoundTypeID", filled.song)
    assert db.get_segment_class_count({"SoundTypeID": filled.song}) == 2
    assert db.delete_soundtype() == 1  # the segments stay, and have none
    assert [row.soundtype_id for row in db.get_segment_class()] == 4 * [None]
    assert db.delete_segment_class({"ClassName": "Wren"}) == 2


def test_spectrogram_values_and_embeddings(filled):
    db = filled.db
    rows = db.get_specvalue({"SpecGroupID": filled.default})
    assert [row.value for row in rows] == [b"\0", b"\1", b"\2"]
    assert [row.id for row in rows] == filled.values[:3]
    assert [row.segment_id for row in rows] == filled.segments
    assert {row.specgroup_id for row in rows} == {filled.default}
    assert {row.embedding for row in rows} == {None}
    assert [row.id for row in db.get_specvalue({"RecordingID": filled.second})] == [filled.values[2]]
    db.update_specvalue(filled.values[0], "Embedding", b"vector")
    assert db.get_specvalue({"ID": filled.values[0]})[0].embedding == b"vector"
    assert db.get_specvalue_count({"SegmentID": filled.segments[0]}) == 2
    with pytest.raises(EarshotError, match="stands there already"):
        db.insert_specvalue(b"x", filled.default, filled.segments[0])
    assert db.delete_specvalue({"ID": filled.values[0]}) == 1
    assert db.delete_specgroup({"Name": "wide"}) == 1
    assert db.get_specvalue_count() == 2


def test_spectrograms_of_a_class(filled):
    db = filled.db
    rows = db.get_spectrogram_by_class("Toad")
    assert [vars(row) for row in rows] == [
        {
            "segment_id": filled.segments[2],
            "specvalue_id": filled.values[2],
            "value": b"\2",
            "embedding": None,
            "recording_id": filled.second,
            "filename": "N2.mp3",
            "offset": 0.0,
        },
        {
            "segment_id": filled.segments[1],
            "specvalue_id": filled.values[1],
            "value": b"\1",
            "embedding": None,
            "recording_id": filled.first,
            "filename": "XC1.mp3",
            "offset": 1.5,
        },
    ]
    db.update_specvalue(filled.values[2], "Embedding", b"vector")
    row, _ = db.get_spectrogram_by_class("Toad", include_value=False, include_embedding=True)
    assert (row.value, row.embedding) == (None, b"vector")
    assert [row.specvalue_id for row in db.get_spectrogram_by_class("Wren", spec_group="wide")] == filled.values[3:]
    assert len(db.get_spectrogram_by_class("Wren", spec_group=None)) == 3
    assert [row.offset for row in db.get_spectrogram_by_class("Wren", limit=1)] == [1.5]
    assert db.get_spectrogram_by_class('Wr"en') == []


def test_segment_counts_of_recordings(filled):
    rows = filled.db.get_segment_counts_by_recording()
    assert [(row.class_name, row.code, row.filename, row.count) for row in rows] == [
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
    assert db.delete_recording() == 1
    assert db.get_segment_count() == 0


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
        found = operations[f"get_{table}"]({attribute.upper(): value})  # in any case, None included
        assert rows[0] in found
        assert len(found) == operations[f"get_{table}_count"]({attribute: value})
        assert attribute.replace("_", "") in operations[f"get_{table}"].__doc__.lower()


def test_filters_named_in_the_help_work(filled):
    for table in ("class", "recording", "segment", "segment_class", "specvalue"):
        get = getattr(filled.db, f"get_{table}")
        names = get.__doc__.partition("Names are")[2].partition("(in any case)")[0].replace("\n", " ").split(",")
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


def test_optimize_keeps_the_content(filled):
    filled.db.optimize()
    assert filled.db.get_segment_count() == 3


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


def test_what_a_table_can_be_filtered_by_is_worked_out_once():
    assert filters_of(schema.segment) is filters_of(schema.segment)


def test_a_database_may_be_in_memory():
    with TrainingDatabase(":memory:") as db:
        category = db.insert_category("bird")
        assert db.get_category({"ID": category})[0].name == "bird"
    assert not Path(":memory:").exists()
