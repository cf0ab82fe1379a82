from pathlib import Path

import pytest

from lib.core.csv_files import read_csv
from lib.core.errors import DataSetError

COLUMNS = ["recording", "class", "start_time", "end_time"]
HEADER = ",".join(COLUMNS)


@pytest.fixture
def write(tmp_path):
    def write(content: str | bytes) -> Path:
        path = tmp_path / "annotations.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def rows_of(path: Path) -> dict[int, list[str]]:
    table = read_csv(path, COLUMNS)
    return dict(zip(table.index, table.values.tolist(), strict=True))


@pytest.mark.parametrize(
    "content",
    [
        f"{HEADER}\na,wren,1,2\n",
        f"\ufeff{HEADER}\na,wren,1,2",
        f"{HEADER}\r\na,wren,1,2\r\n",
        f" {HEADER.replace(',', ' , ')}\n a , wren,1 ,2\t\n",
        f'{HEADER}\n"a","wren",1,2\n',
        f"{HEADER},note\na,wren,1,2,\n",
        f"{HEADER}\na,wren,1,2,what is this\n",
    ],
)
def test_a_table_is_read_however_it_was_saved(write, content):
    assert {line: row[:4] for line, row in rows_of(write(content)).items()} == {2: ["a", "wren", "1", "2"]}


def test_blank_lines_are_skipped_and_lines_are_still_counted(write):
    rows = rows_of(write(f"\n{HEADER}\n\na,wren,1,2\n,,,\n  \nb,owl\n"))
    assert rows == {4: ["a", "wren", "1", "2"], 7: ["b", "owl", "", ""]}


def test_a_row_with_too_many_values_does_not_shift_the_others(write):
    rows = rows_of(write(f"{HEADER}\na,Owl, Great,1,2\nb,owl,1,2\n"))
    assert rows == {2: ["a", "Owl", "Great", "1"], 3: ["b", "owl", "1", "2"]}


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "no such file"),
        (b"", "is empty; its first line must be recording,class,start_time,end_time"),
        (b"\n \n", "is empty"),
        (b"recording,class,start_time\na,wren,1\n", "lacks the column end_time"),
        (b"recording;class;start_time;end_time\n", "lacks the column recording"),
        (f"{HEADER}\nb\xfcsch,wren,1,2\n".encode("latin-1"), "is not UTF-8"),
        (f"{HEADER}\na,wren,1,2\n".encode("utf-16"), "is not UTF-8"),
        (f'{HEADER}\n"a,wren,1,2\nb,owl,1,2\n'.encode(), "unexpected end of data"),
    ],
)
def test_a_table_that_cannot_be_read_is_an_error_of_one_line(write, tmp_path, content, fault):
    path = tmp_path / "annotations.csv" if content is None else write(content)
    with pytest.raises(DataSetError) as error:
        read_csv(path, COLUMNS)
    assert str(error.value).startswith(str(path)) and fault in str(error.value) and "\n" not in str(error.value)
