import pytest

from lib.training_data.training_data_provider import TrainingDataProvider
from lib.training_data.training_database import TrainingDatabase
from tests.training_data.builders import extract_folder, write_data_set


@pytest.fixture
def db(tmp_path):
    with TrainingDatabase(tmp_path / "training.db") as db:
        yield db


@pytest.fixture
def provider(db):
    return TrainingDataProvider(db)


def insert(provider, path, *classes, source="default"):
    """A recording with a segment for each set of class names; returns their IDs."""
    db = provider.db
    recording = db.insert_recording(provider.source_id("", source), path.rpartition("/")[2], path)
    segments = []
    for offset, names in enumerate(classes):
        segments.append(db.insert_segment(recording, offset))
        for name in names:
            db.insert_segment_class(
                segments[-1], provider.class_id(name, name.upper(), provider.category_id("default"))
            )
        db.insert_specvalue(b"x", provider.specgroup_id("wide"), segments[-1])
    return recording, segments


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
    assert db.get_source({"ID": provider.source_id(filename, "my garden")})[0].name == "my garden"


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
    gone, _ = insert(provider, "/gone/a.wav", ["Wren"])
    present, _ = insert(provider, str(tmp_path / "b.wav"), ["Wren"])
    source = provider.source_id("a.wav")
    assert provider.recording_id("Toad", "a.wav", "/new/a.wav", source, 3.0) != gone
    assert provider.recording_id("Wren", "a.wav", "/newer/a.wav", source, 3.0) == gone
    assert db.get_recording({"ID": gone})[0].path == "/newer/a.wav"
    assert provider.recording_id("Wren", "b.wav", "/new/b.wav", source, 3.0) != present


def test_the_path_tells_more_than_a_move(db, provider):
    _, (second, _) = (insert(provider, path, ["Wren"]) for path in ("/one/a.wav", "/two/a.wav"))
    assert provider.recording_id("Wren", "a.wav", "/two/a.wav", provider.source_id("a.wav"), 3.0) == second
    assert [row.path for row in db.get_recording()] == ["/one/a.wav", "/two/a.wav"]


def test_recordings_of_the_extract_stage_are_not_added_to(tmp_path):
    extract_folder(write_data_set(tmp_path / "set", 1), tmp_path / "extracted.db")
    with TrainingDatabase(tmp_path / "extracted.db") as db:
        (row,) = db.get_recording()
        provider = TrainingDataProvider(db)
        assert provider.recording_id("low", row.filename, row.path, row.source_id, 3.0) != row.id


def test_summaries(provider):
    provider.class_id("Crow", "CROW", provider.category_id("default"))
    _, (first, second) = insert(provider, "/b.wav", ["Wren"], ["Wren", "Toad"])
    _, (third, _) = insert(provider, "/a.wav", ["Wren"], [])
    summary, details = provider.class_info()
    assert list(summary.columns) == ["name", "code", "recordings", "segments"]
    assert summary.values.tolist() == [["Crow", "CROW", 0, 0], ["Toad", "TOAD", 1, 1], ["Wren", "WREN", 2, 3]]
    assert list(details.columns) == ["name", "code", "recording", "segments"]
    expected = [["Toad", "TOAD", "b.wav", 1], ["Wren", "WREN", "a.wav", 1], ["Wren", "WREN", "b.wav", 2]]
    assert details.values.tolist() == expected
    groups = provider.spec_group_info()
    assert list(groups.columns) == ["name", "spectrograms"]
    assert groups.values.tolist() == [["default", 0], ["wide", 4]]
    assert provider.segment_class_dict() == {first: {"Wren"}, second: {"Wren", "Toad"}, third: {"Wren"}}


def test_summaries_of_an_empty_database(provider):
    summary, details = provider.class_info()
    assert len(summary) == len(details) == 0 and list(summary.columns) == ["name", "code", "recordings", "segments"]
    assert provider.segment_class_dict() == {}
