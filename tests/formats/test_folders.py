import os
from pathlib import Path

import numpy as np
import pytest

SHARED = Path(__file__).parents[3] / "shared/data/esc10"


@pytest.fixture
def folders(data_set) -> Path:
    return data_set(("wren/1.wav", "owl/1.wav", "owl/deep/2.wav"))


@pytest.mark.parametrize("name", ["auto", "folders"])
def test_each_recording_in_a_folder_has_the_class_of_the_folder_from_start_to_end(folders, read, rows, name):
    contents = read(folders, format=name)
    assert rows(contents) == [
        ("2", "owl", 0.0, np.inf),
        ("owl/1", "owl", 0.0, np.inf),
        ("wren/1", "wren", 0.0, np.inf),
    ]
    assert contents.recordings["2"] == folders / "owl/deep/2.wav"
    assert (contents.classes["name"].tolist(), contents.problems) == (["owl", "wren"], [])
    assert list(read(folders, format=name, include="1*").recordings) == ["owl/1", "wren/1"]


def test_a_recording_in_no_class_folder_is_a_problem(data_set, folders, read):
    data_set(("3.wav",))
    contents = read(folders)
    assert "3" not in contents.recordings
    assert [problem.subject for problem in contents.problems] == [str(folders / "3.wav")]


def test_names_that_are_not_utf8_are_used_and_mentioned(folders, read):
    os.rename(folders / "wren", os.fsencode(folders) + b"/wr\xe9n")
    contents = read(folders)
    assert contents.annotations["class"].tolist() == ["owl", "owl", r"wr\xe9n"]
    assert all(str(problem).isascii() for problem in contents.problems)


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data/esc10 is missing")
def test_real_recordings_in_class_folders(read):
    contents = read(SHARED, include="[123]-*")
    assert len(contents.recordings) == len(contents.annotations) == 240 and contents.problems == []
    assert contents.annotations["class"].value_counts().tolist() == [24] * 10
