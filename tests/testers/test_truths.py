import pytest

from lib.core.errors import DataSetError
from lib.testers.truths import class_entries, classes_by_block, read_blocks, read_recordings, read_sounds

KNOWN = {"a": "a", "b": "b", "A frog": "a", "Thrush, Hermit": "th"}


def write(folder, *lines):
    path = folder / "annotations.csv"
    path.write_text("\n".join([*lines, ""]))
    return path


def rows_of(truths):
    return truths.rows.drop(columns="class").fillna(-1).to_numpy().tolist()


def test_sounds_are_read_by_any_name_of_their_class(tmp_path):
    lines = ["r,A frog,0.5,2", 'r,"Thrush, Hermit",1,2', "s,,,", "r,b,3,4"]
    truths = read_sounds(write(tmp_path, "recording,class,start_time,end_time", *lines), KNOWN)
    assert list(truths.rows.columns) == ["recording", "class", "name", "start_time", "end_time"]
    assert rows_of(truths) == [["r", "a", 0.5, 2], ["r", "th", 1, 2], ["s", "", -1, -1], ["r", "b", 3, 4]]
    assert truths.classes == ["a", "b", "th"] and not truths.problems


def test_unknown_classes_are_left_out_and_reported_in_one_line(tmp_path):
    truths = read_sounds(
        write(tmp_path, "recording,class,start_time,end_time", "r,x,0,1", "r,a,0,1", "s,y,0,1", "s,x,0,1"), KNOWN
    )
    assert truths.rows["name"].tolist() == ["", "a", "", ""] and truths.rows["class"].tolist() == ["x", "a", "y", "x"]
    assert truths.others == {"r", "s"}
    (problem,) = truths.problems
    assert "2 classes" in problem.fault and "x, y" in problem.fault


@pytest.mark.parametrize("times", ["2,1", "-1,1", "x,1", "1,", "nan,2"])
def test_a_sound_that_does_not_start_before_its_end_is_a_problem_of_its_line(tmp_path, times):
    truths = read_sounds(write(tmp_path, "recording,class,start_time,end_time", "r,a,0,1", f"r,a,{times}"), KNOWN)
    assert rows_of(truths) == [["r", "a", 0, 1]]
    assert [problem.subject[-2:] for problem in truths.problems] == [":3"]


def test_blocks_are_read_with_their_classes(tmp_path):
    lines = ['r,2,"a, b"', "r,1,", "r,2,A frog", 's,4,"Thrush, Hermit"', "s,0,a", "s,1.5,a"]
    truths = read_blocks(write(tmp_path, "recording,block,classes", *lines), KNOWN)
    assert rows_of(truths)[:3] == [["r", "a", 2], ["r", "b", 2], ["r", "", 1]]
    assert classes_by_block(truths) == {"r": {2: ["a", "b"], 1: []}, "s": {4: ["th"]}}
    assert [problem.subject[-2:] for problem in truths.problems] == [":6", ":7"]


def test_recordings_are_read_with_their_classes(tmp_path):
    truths = read_recordings(write(tmp_path, "recording,classes", 'r,"a,b"', "s,", ",a"), KNOWN)
    assert classes_by_block(truths) == {"r": {1: ["a", "b"]}, "s": {1: []}} and truths.classes == ["a", "b"]


@pytest.mark.parametrize("lines", [["recording,class"], ["recording,classes"], []])
def test_a_file_that_holds_no_annotations_is_one_clear_error(tmp_path, lines):
    with pytest.raises(DataSetError, match=r"annotations\.csv") as error:
        read_recordings(write(tmp_path, *lines), KNOWN)
    assert "\n" not in str(error.value)


def test_class_entries_come_from_the_table_beside_the_annotations(tmp_path):
    assert class_entries(tmp_path / "annotations.csv") == []
    (tmp_path / "classes.csv").write_text("name,code\nA frog,a\n")
    assert class_entries(tmp_path / "annotations.csv") == [{"name": "A frog", "code": "a"}]
