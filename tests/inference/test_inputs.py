import os

import pytest

from lib.config import DataSet
from lib.errors import AudioError
from lib.inference.inputs import data_set_recordings, recordings_of
from tests.database.builders import write_data_set


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_data_set(tmp_path_factory.mktemp("inputs"), 3, seconds=1.0)


def write_list(tmp_path, *lines, encoding="utf-8"):
    path = tmp_path / "list.txt"
    path.write_text("\r\n".join(lines), encoding=encoding, errors="surrogateescape")
    return path


def test_file_folder_and_data_set_give_recordings_by_name(folder):
    recordings = folder / "recordings"
    everything = {f"r0{i}": recordings / f"r0{i}.wav" for i in range(3)}
    assert recordings_of(recordings / "r01.wav") == ({"r01": recordings / "r01.wav"}, [])
    assert recordings_of(str(recordings)) == (everything, [])
    assert data_set_recordings(DataSet(path=str(folder))) == (everything, [])
    assert list(data_set_recordings(DataSet(path=str(folder), include="*[02]"))[0]) == ["r00", "r02"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_list_names_files_and_folders_relative_to_itself(folder, tmp_path, encoding):
    (tmp_path / "near.wav").write_bytes((folder / "recordings/r00.wav").read_bytes())
    path = write_list(
        tmp_path, "near.wav", "", "# a remark", f" {folder / 'recordings'} ", "near.wav", encoding=encoding
    )
    found, problems = recordings_of(path)
    assert list(found) == ["near", "r00", "r01", "r02"]
    assert found["near"] == tmp_path / "near.wav"
    assert problems == []


def test_lines_that_lead_nowhere_are_named_and_the_others_are_used(folder, tmp_path):
    path = write_list(tmp_path, "nowhere.wav", str(folder / "recordings/r01.wav"))
    found, problems = recordings_of(path)
    assert list(found) == ["r01"]
    (problem,) = problems
    assert problem.subject == f"{path}:1" and problem.lost
    assert "no such file or folder" in problem.reason


def test_recordings_of_the_same_name_are_told_apart_by_their_folders(folder, tmp_path):
    (tmp_path / "r01.wav").write_bytes((folder / "recordings/r00.wav").read_bytes())
    path = write_list(tmp_path, str(folder / "recordings"), "r01.wav")
    found, problems = recordings_of(path)
    same = {name: file for name, file in found.items() if name.endswith("r01")}
    assert set(same.values()) == {folder / "recordings/r01.wav", tmp_path / "r01.wav"}
    assert all(str(file.with_suffix("")).endswith(name) for name, file in same.items()) and not problems


def test_list_may_hold_names_that_are_not_utf_8(folder, tmp_path):
    name = os.fsdecode(b"caf\xe9.wav")
    (tmp_path / name).write_bytes((folder / "recordings/r00.wav").read_bytes())
    found, problems = recordings_of(write_list(tmp_path, name))
    assert list(found.values()) == [tmp_path / name]
    assert [problem.lost for problem in problems] == [False]
    assert list(found) == [r"caf\xe9"]


def test_an_error_is_a_problem_of_what_it_is_about():
    problem = AudioError("is empty; or so; remove it").problem(os.fsdecode(b"caf\xe9.wav"))
    assert problem == (r"caf\xe9.wav", "is empty; or so", "remove it", True)


def test_nothing_to_analyze_is_an_error(tmp_path):
    for path in (tmp_path, write_list(tmp_path, "# nothing"), tmp_path / "none"):
        with pytest.raises(AudioError, match=str(path)):
            recordings_of(path)
