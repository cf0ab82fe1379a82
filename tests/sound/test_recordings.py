import os
from pathlib import Path

import pytest

from lib.core.errors import AudioError, DataSetError
from lib.sound.recordings import RecordingFinder, find_recordings, recordings_of
from tests.rights import ordinary_user


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def write_list(tmp_path, *lines, encoding="utf-8"):
    path = tmp_path / "list.txt"
    path.write_text("\r\n".join(lines), encoding=encoding, errors="surrogateescape")
    return path


def test_only_visible_sound_files_that_match_are_found(tmp_path):
    touch(tmp_path, "a-1.wav", "b/a-2.FLAC", "b/c-3.mp3", "notes.txt", ".a-4.wav", ".cache/a-5.wav")
    (tmp_path / "b/back").symlink_to(tmp_path)
    assert list(find_recordings(tmp_path)[0]) == ["a-1", "a-2", "c-3"]
    assert list(find_recordings(tmp_path, "a-*")[0]) == ["a-1", "a-2"]
    with pytest.raises(AudioError, match="nowhere: no such file or folder"):
        find_recordings(tmp_path / "nowhere")


def test_recordings_with_one_stem_get_distinct_names(tmp_path):
    touch(tmp_path, "x/one.wav", "y/one.wav", "y/one.flac", "two.wav", "two.wav.flac", "two.mp3", "three.ogg")
    recordings, problems = find_recordings(tmp_path)
    assert {str(path.relative_to(tmp_path)): name for name, path in recordings.items()} == {
        "x/one.wav": "x/one",
        "y/one.wav": "y/one.wav",
        "y/one.flac": "y/one.flac",
        "two.wav.flac": "two.wav",
        "two.mp3": "two.mp3",
        "three.ogg": "three",
    }
    (problem,) = problems  # two.wav cannot be told from two.wav.flac
    assert problem.lost and problem.subject == str(tmp_path / "two.wav")
    assert list(recordings) == sorted(recordings)


def test_a_folder_that_cannot_be_listed_is_a_problem(tmp_path):
    touch(tmp_path, "open/a.wav", "closed/b.wav")
    (tmp_path / "closed").chmod(0)
    with ordinary_user(tmp_path):
        recordings, problems = recordings_of(tmp_path)
        with pytest.raises(AudioError, match=r"(?s)closed: cannot be read .*closed: holds no recordings"):
            recordings_of(tmp_path / "closed")
    (tmp_path / "closed").chmod(0o755)
    assert list(recordings) == ["a"]
    remedy = "cannot be read (Permission denied); check the file and its permissions"
    assert [str(problem) for problem in problems] == [f"{tmp_path}/closed: {remedy}"]


def test_control_characters_in_names_are_escaped(tmp_path):
    touch(tmp_path, "a\rb.wav", "c\nd.wav")
    recordings, problems = find_recordings(tmp_path)
    assert list(recordings) == [r"a\x0db", r"c\x0ad"] and len(problems) == 2


def test_names_that_are_not_utf8_are_shown_with_their_bytes(tmp_path):
    name = os.fsdecode(b"caf\xe9.wav")
    (tmp_path / name).touch()
    for recordings, problems in (
        find_recordings(tmp_path),
        recordings_of(tmp_path / name),
        recordings_of(write_list(tmp_path, name)),
    ):
        assert recordings == {r"caf\xe9": tmp_path / name}
        (problem,) = problems
        assert not problem.lost and str(problem).isascii() and r"caf\xe9.wav" in str(problem)


def test_a_file_and_a_folder_give_recordings_by_name(tmp_path):
    touch(tmp_path, "r00.wav", "r01.wav")
    assert recordings_of(tmp_path / "r01.wav") == ({"r01": tmp_path / "r01.wav"}, [])
    assert recordings_of(str(tmp_path)) == ({name: tmp_path / f"{name}.wav" for name in ("r00", "r01")}, [])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_list_names_files_and_folders_relative_to_itself(tmp_path, encoding):
    touch(tmp_path, "near.wav", "far/r00.wav", "far/r01.wav")
    lines = ["near.wav", "", "# a comment", f" {tmp_path / 'far'} ", "far/../near.wav"]
    recordings, problems = recordings_of(write_list(tmp_path, *lines, encoding=encoding))
    files = {"near": "near.wav", "r00": "far/r00.wav", "r01": "far/r01.wav"}
    assert recordings == {name: tmp_path / file for name, file in files.items()} and problems == []


def test_a_list_may_be_a_table_with_the_column_file(tmp_path):
    touch(tmp_path, "near.wav", "far/r00.wav", "far/r01.wav")
    (tmp_path / "list.csv").write_text("ignored,file\n1,near.wav\n2,far\n3,gone.wav\n,\n")
    recordings, (problem,) = recordings_of(tmp_path / "list.csv")
    assert list(recordings) == ["near", "r00", "r01"]
    assert problem.subject == f"{tmp_path}/list.csv:4" and "gone.wav: no such file" in problem.fault
    (tmp_path / "other.csv").write_text("name\nnear.wav\n")
    with pytest.raises(DataSetError, match="lacks the column file"):
        recordings_of(tmp_path / "other.csv")


def test_paths_in_a_list_that_do_not_exist_are_named_and_the_others_are_used(tmp_path):
    path = write_list(touch(tmp_path, "r01.wav"), "nowhere.wav", "r01.wav")
    recordings, (problem,) = recordings_of(path)
    assert list(recordings) == ["r01"]
    assert problem.subject == f"{path}:1" and problem.lost
    assert problem.fault == f"{tmp_path}/nowhere.wav: no such file or folder"


def test_recordings_of_the_same_name_in_a_list_are_told_apart_by_their_folders(tmp_path):
    touch(tmp_path, "x/r01.wav", "y/r01.wav")
    recordings, problems = recordings_of(write_list(tmp_path, "x", "y/r01.wav"))
    assert recordings == {name: tmp_path / f"{name}.wav" for name in ("x/r01", "y/r01")} and problems == []


def test_no_recordings_at_all_is_an_error(tmp_path):
    for path in (tmp_path, write_list(tmp_path, "# nothing"), tmp_path / "none"):
        with pytest.raises(AudioError, match=str(path)):
            recordings_of(path)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a.wav", "a"),
        ("a", "a"),
        ("/far/away/a.WAV", "a"),
        ("D:\\field\\b.c.flac", "b.c"),
        ("b.c", "b.c"),
        ("x/1.wav", "x/1"),
        ("E:\\x\\1.wav", "x/1"),
        ("1.wav", "1"),
        ("none.wav", "none"),
        ("2.mp3", "2.mp3"),
        ("2.wav", "2.wav"),
    ],
)
def test_a_recording_is_found_by_file_name_or_path(text, name):
    files = {
        "a": "s/a.wav",
        "b.c": "s/b.c.flac",
        "x/1": "s/x/1.wav",
        "y/1": "s/y/1.wav",
        "2.mp3": "s/2.mp3",
        "2.wav": "s/2.wav",
    }
    finder = RecordingFinder({name: Path(file) for name, file in files.items()})
    assert finder.named(text, Path("s/table.csv")) == name
    assert [finder.is_shared(stem) for stem in ("1", "a", "none")] == [True, False, False]


@pytest.mark.parametrize(
    ("file", "name", "guess"),
    [
        ("a.txt", "a", "a"),
        ("a.Table.1.selections.txt", "a", "a"),
        ("a.wav.json", "a", "a"),
        ("b.1.txt", "b.1", "b.1"),
        ("b.1.Table.2.selections.txt", "b.1", "b.1"),
        ("a.1.txt", "a", "a"),
        ("a.notes.txt", None, "a.notes"),
        ("ab.Table.1.selections.txt", None, "ab"),
        ("y/1.txt", "y/1", "y/1"),
        ("annotations/x/1.selections.txt", "x/1", "x/1"),
        ("annotations/1.txt", None, "1"),
    ],
)
def test_an_annotation_file_is_named_after_a_recording(file, name, guess):
    files = {"a": "s/a.wav", "b.1": "s/b.1.wav", "x/1": "s/x/1.wav", "y/1": "s/y/1.wav"}
    finder = RecordingFinder({name: Path(file) for name, file in files.items()})
    assert finder.annotated_by(Path("s", file)) == name
    assert finder.annotated_by_or_guessed(Path("s", file)) == guess
