import pytest

from lib.formats.annotation_files import annotation_files, first_line


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
