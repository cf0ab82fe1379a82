from pathlib import Path

import pytest

from lib.formats.annotation_files import RecordingFinder, annotation_files, first_line


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


def test_annotation_files_may_be_anywhere_but_hidden(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far/a.TXT").write_text("x")
    (tmp_path / "set/sub").mkdir(parents=True)
    (tmp_path / "set/sub/link").symlink_to(tmp_path / "far")
    (tmp_path / "set/sub/up").symlink_to(tmp_path / "set")
    (tmp_path / "set/.hidden.txt").write_text("x")
    assert list(annotation_files(tmp_path / "set", ".txt")) == [tmp_path / "set/sub/link/a.TXT"]


@pytest.mark.parametrize(
    ("content", "line"),
    [(b"", ""), (b"\n \n\xef\xbb\xbfx", "\ufeffx"), (b"\xef\xbb\xbfa\tb\r\nc", "a\tb"), (b"\xff\xfe", "��")],
)
def test_the_first_line_of_any_file_can_be_looked_at(tmp_path, content, line):
    (tmp_path / "x.txt").write_bytes(content)
    assert first_line(tmp_path / "x.txt") == line and first_line(tmp_path / "none.txt") == ""
