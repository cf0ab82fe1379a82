import sqlite3

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from lib.core.errors import EarshotError
from lib.training_data import training_tables as tables
from lib.training_data.stored_windows import StoredWindows
from lib.training_data.training_database import TrainingDatabase
from tests.training_data.builders import dump, extract_folder, write_data_set


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_data_set(tmp_path_factory.mktemp("schema"), 3)


def test_database_of_another_version_is_replaced(folder, tmp_path):
    database = tmp_path / "training.db"
    report, _ = extract_folder(folder, tmp_path / "fresh.db")
    extract_folder(folder, database)
    with sqlite3.connect(database) as connection:
        connection.execute("DROP TABLE SpecValue")
        connection.execute(f"PRAGMA user_version = {tables.VERSION + 1}")
    with pytest.raises(EarshotError, match="run the extract stage"):
        StoredWindows(database)
    again, n_new = extract_folder(folder, database)
    assert (again, n_new) == (report, 3)
    assert dump(database) == dump(tmp_path / "fresh.db")


def test_an_empty_database_is_always_the_same_bytes(tmp_path):
    for name in ("a.db", "b.db"):
        tables.open_training_tables(tmp_path / "deep" / name, create=True).dispose()
    assert (tmp_path / "deep/a.db").read_bytes() == (tmp_path / "deep/b.db").read_bytes()


def test_deleting_a_recording_deletes_all_rows_that_belong_to_it(folder, tmp_path):
    extract_folder(folder, tmp_path / "training.db")
    with tables.open_training_tables(tmp_path / "training.db").begin() as connection:
        connection.execute(tables.recording.delete())
        for table in (tables.segment, tables.segment_class, tables.spec_value):
            assert connection.execute(select(func.count()).select_from(table)).scalar() == 0


def test_segment_without_recording_is_refused(tmp_path):
    engine = tables.open_training_tables(tmp_path / "training.db", create=True)
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(tables.segment.insert().values(RecordingID=7, Offset=0.0))


def test_folder_in_place_of_the_database_is_named_in_one_line(tmp_path):
    with pytest.raises(EarshotError) as caught:
        tables.open_training_tables(tmp_path, create=True)
    assert str(caught.value).startswith(f"{tmp_path}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("what", ["recording", "group"])
def test_database_of_another_version_with_rows_added_by_hand_is_not_replaced(folder, tmp_path, what):
    database = tmp_path / "training.db"
    extract_folder(folder, database)
    with TrainingDatabase(database) as db:
        if what == "recording":
            db.insert_recording(db.get_source()[0].id, "owl.wav", "/far/owl.wav")
        else:
            db.insert_specgroup("tall")
    with sqlite3.connect(database) as connection:
        connection.execute(f"PRAGMA user_version = {tables.VERSION + 1}")
    before = database.read_bytes()
    with pytest.raises(EarshotError, match=r"training\.db: .*another version .*added by hand; give another file"):
        extract_folder(folder, database)
    assert database.read_bytes() == before


def test_names_of_files_may_contain_any_character(tmp_path):
    tables.open_training_tables(tmp_path / "what? 50%.db", create=True).dispose()
    assert [file.name for file in tmp_path.iterdir()] == ["what? 50%.db"]
