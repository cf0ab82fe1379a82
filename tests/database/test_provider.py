import pytest

from lib.database.provider import TrainingDataProvider
from lib.database.training_database import TrainingDatabase
from tests.database.builders import extract_folder, write_data_set


@pytest.fixture
def db(tmp_path):
    with TrainingDatabase(tmp_path / "training.db") as db:
        yield db


@pytest.fixture
def provider(db):
    return TrainingDataProvider(db)


def test_ids_are_of_rows_that_are_inserted_once(db, provider):
    bird = provider.category_id("bird")
    assert provider.category_id("bird") == bird and db.get_category({"ID": bird})[0].name == "bird"
    wren = provider.class_id("Wren", "WREN", bird)
    assert provider.class_id("Wren", "other", bird) == wren
    (row,) = db.get_class()
    assert (row.id, row.name, row.code, row.category_id) == (wren, "Wren", "WREN", bird)
    group = provider.specgroup_id("wide")
    assert provider.specgroup_id("wide") == group and db.get_specgroup_count() == 2
    assert provider.specgroup_id("default") == db.get_specgroup({"Name": "default"})[0].id


@pytest.mark.parametrize(
    ("filename", "source"),
    [
        ("XC123456.mp3", "Xeno-Canto"),
        ("N123.m4a", "iNaturalist"),
        ("123456.mp3", "Macaulay Library"),
        ("ab-cD_fghij-30.wav", "Audioset"),
        ("20240512_053000.wav", "default"),
        ("XC123b.mp3", "default"),
        ("XC77", "Xeno-Canto"),
    ],
)
def test_source_follows_from_the_file_name(db, provider, filename, source):
    id = provider.source_id(filename)
    assert db.get_source({"ID": id})[0].name == source
    assert provider.source_id(filename) == id
    named = provider.source_id(filename, "my garden")
    assert db.get_source({"ID": named})[0].name == "my garden"


def test_recording_is_inserted_once_for_a_path(db, provider):
    source = provider.source_id("a.wav")
    first = provider.recording_id("Wren", "a.wav", "/one/a.wav", source, 3.0)
    assert provider.recording_id("Wren", "a.wav", "/one/a.wav", source, 3.0) == first
    assert provider.recording_id("Toad", "a.wav", "/one/a.wav", source, 3.0) == first  # it may hold both
    assert provider.recording_id("Wren", "a.wav", "/two/a.wav", source, 3.0) != first
    assert provider.recording_id("Wren", "a.wav", "/one/a.wav", provider.source_id("a.wav", "other"), 3.0) != first
    (row,) = db.get_recording({"ID": first})
    assert (row.filename, row.path, row.seconds) == ("a.wav", "/one/a.wav", 3.0)


def test_recording_that_was_moved_is_known_by_its_class_and_name(db, provider, tmp_path):
    (tmp_path / "b.wav").touch()
    wren, source = provider.class_id("Wren", None, provider.category_id("default")), provider.source_id("a.wav")
    gone = provider.recording_id("Wren", "a.wav", "/gone/a.wav", source, 3.0)
    there = provider.recording_id("Wren", "b.wav", str(tmp_path / "b.wav"), source, 3.0)
    for recording in (gone, there):
        db.insert_segment_class(db.insert_segment(recording, 0.0), wren)
    assert provider.recording_id("Wren", "a.wav", "/new/a.wav", source, 3.0) == gone
    assert db.get_recording({"ID": gone})[0].path == "/new/a.wav"
    assert provider.recording_id("Wren", "b.wav", "/new/b.wav", source, 3.0) != there


def test_recordings_of_the_extract_stage_are_not_added_to(tmp_path):
    extract_folder(write_data_set(tmp_path / "set", 1), tmp_path / "extracted.db")
    with TrainingDatabase(tmp_path / "extracted.db") as db:
        (row,) = db.get_recording()
        provider = TrainingDataProvider(db)
        assert provider.recording_id("low", row.filename, row.path, row.source_id, 3.0) != row.id


def test_summaries(db, provider):
    category = provider.category_id("default")
    wren, toad = provider.class_id("Wren", "WREN", category), provider.class_id("Toad", "TOAD", category)
    provider.class_id("Crow", "CROW", category)
    source = provider.source_id("a.wav")
    for name, classes in (("b.wav", [[wren], [wren, toad]]), ("a.wav", [[wren], []])):
        recording = db.insert_recording(source, name, f"/{name}")
        for offset, of_segment in enumerate(classes):
            segment = db.insert_segment(recording, offset)
            for class_id in of_segment:
                db.insert_segment_class(segment, class_id)
            db.insert_specvalue(b"x", provider.specgroup_id("wide"), segment)
    summary, details = provider.class_info()
    assert list(summary.columns) == ["name", "code", "recordings", "segments"]
    assert summary.values.tolist() == [["Crow", "CROW", 0, 0], ["Toad", "TOAD", 1, 1], ["Wren", "WREN", 2, 3]]
    assert list(details.columns) == ["name", "code", "recording", "segments"]
    assert details.values.tolist() == [
        ["Toad", "TOAD", "b.wav", 1],
        ["Wren", "WREN", "a.wav", 1],
        ["Wren", "WREN", "b.wav", 2],
    ]
    groups = provider.spec_group_info()
    assert list(groups.columns) == ["name", "spectrograms"]
    assert groups.values.tolist() == [["default", 0], ["wide", 4]]
    segments = [row.id for row in db.get_segment()]
    assert provider.segment_class_dict() == {
        segments[0]: {"Wren"},
        segments[1]: {"Wren", "Toad"},
        segments[2]: {"Wren"},
    }


def test_summaries_of_an_empty_database(provider):
    summary, details = provider.class_info()
    assert len(summary) == len(details) == 0 and list(summary.columns) == ["name", "code", "recordings", "segments"]
    assert provider.segment_class_dict() == {}


def test_the_path_tells_more_than_a_move(db, provider):
    wren, source = provider.class_id("Wren", None, provider.category_id("default")), provider.source_id("a.wav")
    for path in ("/one/a.wav", "/two/a.wav"):
        recording = db.insert_recording(source, "a.wav", path)
        db.insert_segment_class(db.insert_segment(recording, 0.0), wren)
    assert provider.recording_id("Wren", "a.wav", "/two/a.wav", source, 3.0) == recording
    assert [row.path for row in db.get_recording()] == ["/one/a.wav", "/two/a.wav"]
