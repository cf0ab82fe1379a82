import pytest

from lib.core.errors import DataSetError, EarshotError

SEGMENTS = "recording,class,start_time,end_time\na,wren,0,1\n"
FILES = {
    "sets.csv": "path,format,include\nfield,,\nirmas,irmastrain,\nclips,folders,w*\n",
    "field/annotations.csv": SEGMENTS,
}
RECORDINGS = ("field/recordings/a.wav", "irmas/[cel][dru]1.wav", "clips/wren/a.wav", "clips/wren/w1.wav")


def test_sets_of_several_formats_are_read_as_one(data_set, read, rows):
    contents = read(data_set(RECORDINGS, FILES))
    assert list(contents.recordings) == ["[cel][dru]1", "a", "w1"]
    assert [row[:2] for row in rows(contents)] == [("[cel][dru]1", "cel"), ("a", "wren"), ("w1", "wren")]
    assert contents.problems == []


def test_a_table_of_clips_is_a_set(data_set, read, rows):
    files = FILES | {"sets.csv": "path,format\nfield,\nhello.csv,csv\n", "hello.csv": "file,owl\nw1.wav,1\n"}
    contents = read(data_set(RECORDINGS, files))
    assert [row[:2] for row in rows(contents)] == [("a", "wren"), ("w1", "owl")]
    assert list(contents.recordings) == ["a", "w1"] and contents.problems == []
    with pytest.raises(DataSetError, match=r"sets\.csv:3: .*hello\.csv: is a file; give a folder, or format csv or"):
        read(data_set(RECORDINGS, files | {"sets.csv": "path\nfield\nhello.csv\n"}))


def test_recordings_of_the_same_name_are_told_apart_by_their_set(data_set, read, rows):
    files = FILES | {"sets.csv": "path\nfield\nclips\n"}
    contents = read(data_set(RECORDINGS, files))
    assert list(contents.recordings) == ["clips/a", "field/a", "w1"]
    assert [row[0] for row in rows(contents)] == ["clips/a", "field/a", "w1"]


def test_a_folder_within_a_set_that_is_called_as_another_set_hides_no_recording(data_set, read, rows):
    files = {"sets.csv": "path,format\nfield,folders\nwren,folders\nclips,folders\n"}
    places = ("field/wren/a.wav", "field/owl/a.wav", "wren/owl/a.wav", "clips/owl/a.wav")
    contents = read(data_set(places, files))
    assert len(contents.recordings) == len(rows(contents)) == 4
    contents = read(data_set((), {"sets.csv": "path,format\nfield,folders\nwren,folders\n"}))
    assert list(contents.recordings) == ["a", "owl/a", "wren/a"]  # none is called by its set where that is not needed


def test_a_list_of_classes_holds_for_all_sets(data_set, read, rows):
    contents = read(data_set(RECORDINGS, FILES | {"classes.csv": "name,code\nWinter Wren,wren\nCello,cel\n"}))
    assert {row[1] for row in rows(contents)} == {"Winter Wren", "Cello"}


@pytest.mark.parametrize(
    ("table", "error"),
    [
        ("path\nnowhere\n", "sets.csv:2: .*nowhere: no such folder"),
        ("path\n.\n", "sets.csv:2: .*must be another folder below"),
        ("path\n..\n", "must be another folder below"),
        ("path\nfield\n./field\n", "sets.csv:3: .*must be another folder"),
        ("path\n", "lists no data sets"),
        ("path,format\nfield,irmas\n", "'irmas': must be one of .*did you mean irmastest"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_clear_error(data_set, read, table, error):
    with pytest.raises(EarshotError, match=error):
        read(data_set(RECORDINGS, FILES | {"sets.csv": table}))


def test_folders_with_tables_of_their_own_are_sets_without_being_listed(data_set, read, rows):
    tables = {f"{site}/annotations.csv": SEGMENTS.replace("wren", name) for site, name in (("a", "wren"), ("b", "owl"))}
    contents = read(data_set(("a/recordings/a.wav", "b/recordings/a.wav", "rest/x.wav"), tables))
    assert [row[:2] for row in rows(contents)] == [("a/a", "wren"), ("b/a", "owl")]
    assert list(contents.classes["name"]) == ["owl", "wren"]


def test_a_set_may_lack_optional_columns_that_another_has(data_set, read):
    tables = {
        "a/annotations.csv": SEGMENTS,
        "b/annotations.csv": "recording,class,start_time,end_time,low_freq\nb,owl,0,1,500\n",
    }
    contents = read(data_set(("a/recordings/a.wav", "b/recordings/b.wav"), tables))
    assert contents.problems == [] and contents.annotations["low_freq"].fillna(0).tolist() == [0, 500]
