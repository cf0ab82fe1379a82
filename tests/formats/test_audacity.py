import pytest

from lib.core.errors import DataSetError
from lib.sound.labels import RECORDINGS_FILE, RESULTS_FILE

LABELS = "0.5\t1.25\twren\n2\t3\towl\n"


@pytest.mark.parametrize("format", ["auto", "audacity"])
@pytest.mark.parametrize("file", ["a.txt", "annotations/a.txt", "sub/a.wav.txt", "a.labels.txt"])
def test_labels_are_about_the_recording_that_the_file_is_named_after(data_set, read, rows, file, format):
    contents = read(data_set(files={file: LABELS}), format=format)
    assert rows(contents) == [("a", "owl", 2.0, 3.0), ("a", "wren", 0.5, 1.25)] and contents.problems == []
    assert set(contents.recordings) == {"a", "b"}


def test_a_line_with_a_backslash_holds_the_band_of_the_label_above(data_set, read):
    content = "0.5\t1.25\twren\n\\\t2000.5\t4000\n2\t3\towl\n\\\t-1\t5000\n4\t5\twren\n"
    annotations = read(data_set(files={"a.txt": content})).annotations
    bands = annotations[["low_freq", "high_freq"]].astype(object).where(annotations.notna(), None).values.tolist()
    assert bands == [[None, 5000.0], [2000.5, 4000.0], [None, None]]


def test_a_score_after_the_label_becomes_the_confidence(data_set, read, rows):
    contents = read(data_set(files={"a.txt": "0\t1\twren;0.87\n1\t2\twren; sings\n2\t3\twren;7\n"}))
    assert rows(contents) == [("a", "wren", 0, 1), ("a", "wren; sings", 1, 2), ("a", "wren;7", 2, 3)]
    assert contents.annotations["confidence"].tolist()[0] == 0.87


@pytest.mark.parametrize(
    ("file", "content"), [(RESULTS_FILE, ""), (RECORDINGS_FILE, "recording,path,seconds,status,reason,labels,key\n")]
)
def test_results_of_the_infer_stage_are_not_annotations(data_set, read, file, content):
    folder = data_set(files={"labels/a.txt": "0\t3\tlark;0.9\n", f"labels/{file}": content})
    with pytest.raises(DataSetError, match="not recognized"):
        read(folder)
    assert read(folder, format="audacity").annotations.empty
    (folder / "annotations").mkdir()
    (folder / "labels/a.txt").rename(folder / "annotations/a.txt")
    assert read(folder).annotations[["class", "confidence"]].values.tolist() == [["lark", 0.9]]


def test_a_table_of_recordings_that_people_made_hides_no_annotations(data_set, read, rows):
    contents = read(data_set(files={"a.txt": LABELS, RECORDINGS_FILE: "recording,latitude,longitude\na,45,-76\n"}))
    assert len(rows(contents)) == 2


def test_other_text_files_are_skipped(data_set, read, rows):
    files = {"a.txt": LABELS, "README.txt": "What is here\n", "classes.txt": "wren\nowl\n", "empty.txt": ""}
    contents = read(data_set(files=files))
    assert len(rows(contents)) == 2 and contents.problems == []


@pytest.mark.parametrize("content", ["notes\n", "1\t2\twren\n"])
def test_text_files_named_after_no_recording_make_no_such_data_set(data_set, read, content):
    with pytest.raises(DataSetError, match="not recognized"):
        read(data_set(files={"c.txt": content}))


def test_faults_name_file_and_line_and_the_rest_is_used(data_set, read, rows, faults):
    folder = data_set(files={"a.txt": "0\t1\twren\n\nx\t2\twren\n5\t5\twren\n6\t7\n", "b.txt": "no labels at all\n"})
    contents = read(folder)
    assert rows(contents) == [("a", "wren", 0.0, 1.0)]
    assert faults(contents) == {
        f"{folder}/a.txt:3": "a time is not a number (a, wren)",
        f"{folder}/a.txt:4": "has no duration (a, wren)",
        f"{folder}/a.txt:5": "unknown class (a, no class)",
        f"{folder}/b.txt:1": "a time is not a number (b, no class)",
    }


def test_tabs_separate_start_end_and_label_with_its_score(write_labels):
    text = write_labels("audacity", ("a/r01",)).read_text()
    assert text == "0.000\t4.500\tTree frog;0.988\n2.000\t5.000\tWren, winter;0.500\n"
