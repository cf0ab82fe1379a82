from pathlib import Path

import pytest

from lib.datasets.label_files import Finder, field_of, first_line, guessed_name, label_files


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
    finder = Finder({name: Path(file) for name, file in files.items()})
    assert finder.named(text, Path("s/table.csv")) == name


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("a.txt", "a"),
        ("a.Table.1.selections.txt", "a"),
        ("a.wav.json", "a"),
        ("b.1.txt", "b.1"),
        ("b.1.Table.2.selections.txt", "b.1"),
        ("a.1.txt", "a"),
        ("a.notes.txt", None),
        ("ab.txt", None),
    ],
)
def test_an_annotation_file_is_called_after_a_recording(file, name):
    finder = Finder({"a": Path("s/a.wav"), "b.1": Path("s/b.1.wav")})
    assert finder.labelled(Path("s", file)) == name


def test_what_a_recording_would_be_called_is_known_without_it():
    assert guessed_name(Path("s/x_1.Table.1.selections.txt")) == "x_1"


def test_links_are_followed_and_do_not_lead_in_circles(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far/a.txt").write_text("x")
    (tmp_path / "set/sub").mkdir(parents=True)
    (tmp_path / "set/sub/link").symlink_to(tmp_path / "far")
    (tmp_path / "set/sub/up").symlink_to(tmp_path / "set")
    (tmp_path / "set/.hidden.txt").write_text("x")
    assert list(label_files(tmp_path / "set", ".txt")) == [tmp_path / "set/sub/link/a.txt"]


@pytest.mark.parametrize(
    ("content", "line"),
    [(b"", ""), (b"\n \n\xef\xbb\xbfx", "\ufeffx"), (b"\xef\xbb\xbfa\tb\r\nc", "a\tb"), (b"\xff\xfe", "��")],
)
def test_the_first_line_of_any_file_can_be_looked_at(tmp_path, content, line):
    (tmp_path / "x.txt").write_bytes(content)
    assert first_line(tmp_path / "x.txt") == line and first_line(tmp_path / "none.txt") == ""


def test_a_field_that_is_empty_says_nothing():
    fields = {"one": "", "two": "x", "three": "y"}
    assert field_of(fields, ("none", "one", "two", "three")) == "x"
    assert field_of(fields, ("one",)) == field_of(fields, ("none",)) == ""


def test_a_name_that_several_recordings_have_is_shared():
    finder = Finder({"s0/n": Path("d/s0/n.wav"), "s1/n": Path("d/s1/n.wav"), "m": Path("d/s1/m.wav")})
    assert [finder.is_shared(name) for name in ("n", "m", "none")] == [True, False, False]
