import pytest

from lib.errors import DataSetError
from lib.evaluation.truths import Annotation, class_entries, read_blocks, read_recordings, read_sounds

KNOWN = {"a": "a", "b": "b", "A frog": "a", "Thrush, Hermit": "th"}


def write(folder, *lines):
    path = folder / "annotations.csv"
    path.write_text("\n".join([*lines, ""]))
    return path


def test_sounds_are_read_by_any_name_of_their_class(tmp_path):
    path = write(
        tmp_path, "recording,class,start_time,end_time", "r,A frog,0.5,2", 'r,"Thrush, Hermit",1,2', "s,,,", "r,b,3,4"
    )
    truths = read_sounds(path, KNOWN)
    assert truths.annotations == {
        "r": [Annotation(0.5, 2, "a"), Annotation(1, 2, "th"), Annotation(3, 4, "b")],
        "s": [],
    }
    assert truths.classes == ["a", "b", "th"] and not truths.problems
    assert truths.annotations["r"][0].class_code == "a"


def test_unknown_classes_are_left_out_and_reported_in_one_line(tmp_path):
    path = write(tmp_path, "recording,class,start_time,end_time", "r,x,0,1", "r,a,0,1", "s,y,0,1", "s,x,0,1")
    truths = read_sounds(path, KNOWN)
    assert truths.annotations == {"r": [Annotation(0, 1, "a")], "s": []} and truths.others == {"r", "s"}
    (problem,) = truths.problems
    assert "2 classes" in problem.reason and "x, y" in problem.reason


@pytest.mark.parametrize("times", ["2,1", "-1,1", "x,1", "1,", "nan,2"])
def test_a_sound_without_a_span_is_a_problem_of_its_line(tmp_path, times):
    truths = read_sounds(write(tmp_path, "recording,class,start_time,end_time", "r,a,0,1", f"r,a,{times}"), KNOWN)
    assert truths.annotations == {"r": [Annotation(0, 1, "a")]}
    assert [problem.subject[-2:] for problem in truths.problems] == [":3"]


def test_blocks_are_read_with_their_classes(tmp_path):
    path = write(
        tmp_path, "recording,block,classes", 'r,2,"a, b"', "r,1,", "r,2,A frog", 's,4,"Thrush, Hermit"', "s,0,a"
    )
    truths = read_blocks(path, KNOWN)
    assert truths.annotations == {"r": {2: ["a", "b"], 1: []}, "s": {4: ["th"]}}
    assert [problem.subject[-2:] for problem in truths.problems] == [":6"]


def test_recordings_are_read_with_their_classes(tmp_path):
    truths = read_recordings(write(tmp_path, "recording,classes", 'r,"a,b"', "s,", ",a"), KNOWN)
    assert truths.annotations == {"r": ["a", "b"], "s": []} and truths.classes == ["a", "b"]


@pytest.mark.parametrize("lines", [["recording,class"], ["recording,classes"], []])
def test_a_file_that_holds_no_annotations_is_one_clear_error(tmp_path, lines):
    with pytest.raises(DataSetError, match=r"annotations\.csv") as error:
        read_recordings(write(tmp_path, *lines), KNOWN)
    assert "\n" not in str(error.value)


def test_class_entries_come_from_the_table_beside_the_annotations(tmp_path):
    assert class_entries(tmp_path / "annotations.csv") == []
    (tmp_path / "classes.csv").write_text("name,code\nA frog,a\n")
    assert class_entries(tmp_path / "annotations.csv") == [{"name": "A frog", "code": "a"}]
