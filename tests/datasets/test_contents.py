import os
from pathlib import Path

import numpy as np
import pytest

from lib.config import DataSet
from lib.datasets.contents import read_annotated, read_data_set
from lib.errors import EarshotError
from tests.recordings import noise, write

SHARED = Path(__file__).parents[3] / "shared/data"
HEADER = "recording,class,start_time,end_time\n"


@pytest.fixture
def segments(tmp_path):
    """A data set in format segments: recordings a and b, and whatever annotations.csv is to hold."""

    def make(annotations: str = f"{HEADER}a,wren,0,1\nb,owl,1,2\n", classes: str | None = None) -> Path:
        for name in "ab":
            write(tmp_path / f"set/recordings/{name}.wav", noise(0.1, 8000), 8000)
        (tmp_path / "set/annotations.csv").write_text(annotations)
        if classes is not None:
            (tmp_path / "set/classes.csv").write_text(classes)
        return tmp_path / "set"

    return make


@pytest.fixture
def folders(tmp_path) -> Path:
    """A data set in format folders: wren/1.wav, owl/1.wav and owl/deep/2.wav."""
    for name in ("wren/1", "owl/1", "owl/deep/2"):
        write(tmp_path / f"set/{name}.wav", noise(0.1, 8000), 8000)
    return tmp_path / "set"


def read(path: Path, **options):
    return read_data_set(DataSet(path=str(path), **options))


@pytest.mark.parametrize("name", ["auto", "segments"])
def test_recordings_and_annotations_of_segments_are_read(segments, name):
    folder = segments(f"\ufeff{HEADER}\nb,owl,1,2\n\na,wren,0,1\n")
    contents = read(folder, format=name)
    assert contents.recordings == {name: folder / f"recordings/{name}.wav" for name in "ab"}
    assert contents.annotations.values.tolist() == [["a", "wren", 0.0, 1.0], ["b", "owl", 1.0, 2.0]]
    assert contents.annotations.dtypes[["start_time", "end_time"]].tolist() == [np.float64, np.float64]
    assert (contents.classes["name"].tolist(), contents.problems) == (["owl", "wren"], [])


@pytest.mark.parametrize("label", ["wren", "WR", "Troglodytes", "tt"])
def test_a_class_may_be_called_by_any_of_its_labels(segments, label):
    folder = segments(f"{HEADER}a,{label},0,1\n", "name,code,alt_name,alt_code\nwren,WR,Troglodytes,tt\nowl,OW,,\n")
    contents = read(folder)
    assert contents.annotations["class"].tolist() == ["wren"] and contents.problems == []
    assert contents.classes["name"].tolist() == ["wren", "owl"]


def test_each_problem_names_file_and_line_and_the_other_rows_are_used(segments):
    folder = segments(f"{HEADER}\na,wren,0,1\na,lark,0,1\nnone,owl,0,1\n", "name\nwren\nowl\nowl\n")
    contents = read(folder)
    assert contents.annotations["recording"].tolist() == ["a"]
    assert [(problem.subject, problem.lost) for problem in contents.problems] == [
        (f"{folder}/classes.csv:4", True),
        (f"{folder}/annotations.csv:4", True),
        (f"{folder}/annotations.csv:5", True),
    ]


@pytest.mark.parametrize("name", ["auto", "folders"])
def test_each_recording_in_a_folder_has_the_class_of_the_folder_from_start_to_end(folders, name):
    contents = read(folders, format=name)
    assert contents.annotations.values.tolist() == [
        ["2", "owl", 0.0, np.inf],
        ["owl/1", "owl", 0.0, np.inf],
        ["wren/1", "wren", 0.0, np.inf],
    ]
    assert contents.recordings["2"] == folders / "owl/deep/2.wav"
    assert (contents.classes["name"].tolist(), contents.problems) == (["owl", "wren"], [])


def test_a_recording_in_no_class_folder_is_a_problem(folders):
    path = write(folders / "3.wav", noise(0.1, 8000), 8000)
    contents = read(folders)
    assert "3" not in contents.recordings and [problem.subject for problem in contents.problems] == [str(path)]


def test_include_takes_some_of_the_recordings(folders):
    assert list(read(folders, include="1*").recordings) == ["owl/1", "wren/1"]


def test_names_that_are_not_utf8_are_used_and_mentioned(folders):
    os.rename(folders / "wren", os.fsencode(folders) + b"/wr\xe9n")
    contents = read(folders)
    assert contents.annotations["class"].tolist() == ["owl", "owl", r"wr\xe9n"]
    assert all(str(problem).isascii() for problem in contents.problems)


def fault_of(path: Path, **options) -> str:
    with pytest.raises(EarshotError) as error:
        read(path, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_data_set_that_cannot_be_used_is_an_error_of_one_line(segments, tmp_path):
    folder = segments()
    assert fault_of(tmp_path / "nowhere").startswith(f"{tmp_path}/nowhere: no such folder")
    assert "holds no recordings that match 'x*'" in fault_of(folder, include="x*")
    (tmp_path / "bare").mkdir()
    assert "the format is not recognized" in fault_of(tmp_path / "bare")
    assert "holds no recordings" in fault_of(tmp_path / "bare", format="folders")
    assert "no such file or folder" in fault_of(tmp_path / "bare", format="segments")


def test_recordings_without_their_annotations_are_not_taken_for_a_class(segments):
    folder = segments()
    (folder / "annotations.csv").unlink()
    assert fault_of(folder).startswith(
        f"{folder}: the format is not recognized; it needs recordings/ and annotations.csv"
    )
    assert fault_of(folder, format="segments").startswith(f"{folder}/annotations.csv: no such file")


def test_annotations_without_their_recordings_are_an_error(segments):
    folder = segments()
    (folder / "recordings").rename(folder / "audio")
    assert fault_of(folder).startswith(f"{folder}/recordings: no such file or folder")


@pytest.mark.skipif(not (SHARED / "esc10").is_dir(), reason="../shared/data/esc10 is missing")
def test_real_recordings_in_class_folders():
    contents = read(SHARED / "esc10", include="[123]-*")
    assert len(contents.recordings) == len(contents.annotations) == 240 and contents.problems == []
    assert contents.annotations["class"].value_counts().tolist() == [24] * 10


@pytest.mark.skipif(not (SHARED / "soundscapes/train").is_dir(), reason="../shared/data/soundscapes is missing")
def test_real_soundscapes_with_annotations():
    contents = read(SHARED / "soundscapes/train")
    assert len(contents.recordings) > 1 and len(contents.annotations) > 10 and contents.problems == []
    assert set(contents.annotations["recording"]) <= set(contents.recordings)


def test_recordings_and_an_annotation_file_need_not_lie_together(tmp_path):
    write(tmp_path / "sound/a.wav", noise(3, 8000), 8000)
    write(tmp_path / "sound/b.wav", noise(3, 8000), 8000)
    table = tmp_path / "notes/truth.csv"
    table.parent.mkdir()
    table.write_text("recording,class,start_time,end_time\na,gull,0.5,1\nb,,,\nc,gull,0,1\n")
    contents = read_annotated(tmp_path / "sound", table)
    assert list(contents.recordings) == ["a", "b"]
    assert contents.annotations.to_dict("records") == [
        {"recording": "a", "class": "gull", "start_time": 0.5, "end_time": 1.0}
    ]
    assert list(contents.classes["name"]) == ["gull"]
    (problem,) = contents.problems  # a row without a class says that its recording holds nothing
    assert f"{table}:4: no such recording" in str(problem)
    with pytest.raises(EarshotError, match="holds no recordings"):
        read_annotated(tmp_path / "notes", table)
