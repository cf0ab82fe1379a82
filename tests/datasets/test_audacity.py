from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.datasets.audacity import rows_of
from lib.datasets.label_files import Finder
from lib.errors import EarshotError

LABELS = "0.5\t1.25\twren\n2\t3\towl\n"
RESULTS = {
    "recordings.csv": "recording,path,seconds,status,reason,labels,key\na,a.wav,1,ok,,1,x\n",
    "a.txt": "0\t3\tlark;0.9\n",
    "scores.csv": "recording,name,start_time,end_time,score\n",
}


@pytest.mark.parametrize("format", ["auto", "audacity"])
@pytest.mark.parametrize("file", ["a.txt", "annotations/a.txt", "sub/a.wav.txt", "a.labels.txt"])
def test_labels_are_about_the_recording_that_the_file_is_called_after(data_set, read, rows, file, format):
    contents = read(data_set(files={file: LABELS}), format=format)
    assert rows(contents) == [("a", "owl", 2.0, 3.0), ("a", "wren", 0.5, 1.25)] and contents.problems == []
    assert set(contents.recordings) == {"a", "b"}


def test_a_line_with_a_backslash_holds_the_band_of_the_label_above(data_set, read):
    content = "0.5\t1.25\twren\n\\\t2000.5\t4000\n2\t3\towl\n\\\t-1\t5000\n4\t5\twren\n"
    annotations = read(data_set(files={"a.txt": content})).annotations
    bands = annotations[["low_freq", "high_freq"]].astype(object).where(annotations.notna(), None).values.tolist()
    assert bands == [[None, 5000.0], [2000.5, 4000.0], [None, None]]


def test_a_score_behind_the_label_becomes_the_confidence(data_set, read, rows):
    contents = read(data_set(files={"a.txt": "0\t1\twren;0.87\n1\t2\twren; sings\n2\t3\twren;7\n"}))
    assert rows(contents) == [("a", "wren", 0, 1), ("a", "wren; sings", 1, 2), ("a", "wren;7", 2, 3)]
    assert contents.annotations["confidence"].tolist()[0] == 0.87


def test_results_of_the_infer_stage_are_no_annotations(data_set, read):
    folder = data_set(files={f"labels/{name}": content for name, content in RESULTS.items()})
    with pytest.raises(EarshotError, match="not recognized"):
        read(folder)
    assert read(folder, format="audacity").annotations.empty
    (folder / "annotations").mkdir()
    (folder / "labels/a.txt").rename(folder / "annotations/a.txt")
    assert read(folder).annotations[["class", "confidence"]].values.tolist() == [["lark", 0.9]]


def test_other_text_files_are_left_aside(data_set, read, rows):
    files = {"a.txt": LABELS, "README.txt": "What is here\n", "classes.txt": "wren\nowl\n", "empty.txt": ""}
    contents = read(data_set(files=files))
    assert len(rows(contents)) == 2 and contents.problems == []


@pytest.mark.parametrize("content", ["notes\n", "1\t2\twren\n"])
def test_text_files_that_are_called_after_no_recording_make_no_such_data_set(data_set, read, content):
    with pytest.raises(EarshotError, match="not recognized"):
        read(data_set(files={"c.txt": content}))


def test_faults_are_named_with_file_and_line_and_the_rest_is_used(data_set, read, rows):
    folder = data_set(files={"a.txt": "0\t1\twren\n\nx\t2\twren\n5\t5\twren\n6\t7\n", "b.txt": "no labels at all\n"})
    contents = read(folder)
    assert rows(contents) == [("a", "wren", 0.0, 1.0)]
    assert {problem.subject: problem.reason for problem in contents.problems} == {
        f"{folder}/a.txt:3": "a time is not a number (a, wren)",
        f"{folder}/a.txt:4": "has no duration (a, wren)",
        f"{folder}/a.txt:5": "unknown class (a, no class)",
        f"{folder}/b.txt:1": "a time is not a number (b, no class)",
    }


NAMES = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="\\;"), min_size=1, max_size=8)
BANDS = st.none() | st.tuples(st.integers(0, 9999), st.integers(0, 9999))


@given(st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e5), NAMES, st.none() | st.floats(0, 1), BANDS), max_size=6))
def test_what_is_written_is_read_back(tmp_path_factory, labels):
    file = tmp_path_factory.mktemp("audacity") / "a.txt"
    lines = []
    for start, end, name, score, band in labels:
        lines.append(f"{start!r}\t{end!r}\t{name if score is None else f'{name};{score!r}'}")
        if band is not None:
            lines.append(f"\\\t{band[0]}\t{band[1]}")
    file.write_text("\n".join(lines), encoding="utf-8")
    found = [
        (
            float(row["start_time"]),
            float(row["end_time"]),
            row["class"],
            float(row["confidence"]) if row["confidence"] else None,
            (int(row["low_freq"]), int(row["high_freq"])) if "low_freq" in row else None,
        )
        for row in rows_of(file, Finder({"a": Path("a.wav")}))
    ]
    assert found == labels
