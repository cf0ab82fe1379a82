import os

import pytest

from lib.formats.annotation_files import annotation_files, first_line
from tests.rights import ordinary_user


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


def test_times_may_have_decimal_commas_in_tables_of_any_delimiter(data_set, read, rows):
    raven = "Selection\tBegin Time (s)\tEnd Time (s)\tSpecies\n1\t0,5\t1,25\twren\n"
    kaleidoscope = "IN FILE;OFFSET;DURATION;MANUAL ID\na.wav;0,5;0,75;wren\n"
    files = {"a.txt": "0,5\t1,25\twren\n"}, {"a.selections.txt": raven}, {"a.csv": kaleidoscope}
    for number, content in enumerate(files):
        folder = data_set(
            tuple(f"{number}/{name}" for name in ("a.wav", "b.wav")),
            {f"{number}/{name}": text for name, text in content.items()},
        )
        contents = read(folder / str(number))
        assert rows(contents) == [("a", "wren", 0.5, 1.25)] and contents.problems == []
    tables = {
        "annotations.csv": "recording;class;start_time;end_time\r\n12,5.wav;wren;0,5;1,25\r\n",
        "annotations.tsv": "recording\tclass\tstart_time\tend_time\n12,5\twren\t0,5\t1,25\n",
        "quoted/annotations.csv": 'recording,class,start_time,end_time\n"12,5",wren,"0,5","1,25"\n',
    }
    for number, (name, content) in enumerate(tables.items(), 3):
        place = f"{number}/{name}".rpartition("/")[0]
        folder = data_set((f"{place}/recordings/12,5.wav",), {f"{number}/{name}": content})
        assert rows(read(folder / place)) == [("12,5", "wren", 0.5, 1.25)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("{}.txt", "0.5\t1.25\twren\n"),
        ("{}.selections.txt", "Selection\tBegin Time (s)\tEnd Time (s)\tSpecies\n1\t0.5\t1.25\twren\n"),
        ("{}.csv", "IN FILE,OFFSET,DURATION,MANUAL ID\n{}.wav,0.5,0.75,wren\n"),
        (
            "{}.wav.json",
            '{{"annotated": true, "annotation": [{{"start_time": 0.5, "end_time": 1.25, "class": "wren"}}]}}',
        ),
    ],
)
def test_an_annotation_file_that_cannot_be_read_is_named_and_a_pipe_is_none(
    data_set, read, rows, faults, name, content
):
    folder = data_set(files={name.format(one): content.format(one) for one in ("a", "b")})
    os.mkfifo(folder / f"pipe{os.path.splitext(name)[1]}")
    unreadable = folder / name.format("b")
    unreadable.chmod(0)
    with ordinary_user(folder.parent):
        contents = read(folder)
    assert rows(contents) == [("a", "wren", 0.5, 1.25)]
    assert faults(contents) == {str(unreadable): "cannot be read (Permission denied)"}
