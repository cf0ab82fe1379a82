import csv
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.core.csv_files import from_no_formula, no_formula, number_in, numbers_in, read_csv, write_csv, write_table
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


@pytest.mark.parametrize("delimiter", [";", "\t"])
@pytest.mark.parametrize("start", ["", "\ufeff", "sep={}\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_tables_of_spreadsheets_with_decimal_commas_are_read(write, delimiter, start, encoding):
    lines = (HEADER.replace(",", delimiter), f'a{delimiter}"Owl, 1,5"{delimiter}1,25{delimiter}-2,5', "b")
    content = start.format(delimiter) + "\r\n".join(lines)
    rows = list(rows_of(write(content.encode(encoding))).values())
    assert rows == [["a", "Owl, 1,5", "1,25", "-2,5"], ["b", "", "", ""]]
    assert [number_in(cell) for cell in rows[0][2:]] == [1.25, -2.5]


def test_numbers_are_read_with_points_and_commas_and_everything_else_is_none():
    column = pd.Series(["1.5", " -2,5 ", "1,2,3", "owl", "", float("inf"), 3])
    assert numbers_in(column).fillna(-1).tolist() == [1.5, -2.5, -1, -1, -1, float("inf"), 3]
    alone = np.array([number_in(str(cell)) for cell in column], float)
    np.testing.assert_array_equal(alone, numbers_in(column))


@given(
    st.sampled_from(",;\t"),
    st.lists(st.text(st.characters(codec="utf-8", exclude_categories=("Cc",)), max_size=8), min_size=4, max_size=4),
)
def test_a_table_comes_back_whatever_separates_its_columns(tmp_path_factory, delimiter, cells):
    path = tmp_path_factory.getbasetemp() / "table.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([COLUMNS, ["x", *cells[1:]]])
    table = read_csv(path, COLUMNS)
    assert table.values.tolist() == [[from_no_formula(cell.strip()) for cell in ["x", *cells[1:]]]]


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
        (b"recording class start_time end_time\n", "lacks the column recording"),
        (f"{HEADER}\nb\xfcsch,wren,1,2\n".encode("latin-1"), "is not UTF-8"),
        (f"{HEADER}\na,wren,1,2\n".encode("utf-16-le"), "lacks the column recording"),
        (f'{HEADER}\n"a,wren,1,2\nb,owl,1,2\n'.encode(), "unexpected end of data"),
    ],
)
def test_a_table_that_cannot_be_read_is_an_error_of_one_line(write, tmp_path, content, fault):
    path = tmp_path / "annotations.csv" if content is None else write(content)
    with pytest.raises(DataSetError) as error:
        read_csv(path, COLUMNS)
    assert str(error.value).startswith(str(path)) and fault in str(error.value) and "\n" not in str(error.value)


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=6) | st.sampled_from(["=cmd()", "'=x", "-5", "@a"]))
def test_a_text_that_looks_like_a_formula_is_none_in_a_csv_file_and_comes_back(text):
    cell = no_formula(text)
    assert from_no_formula(cell) == text
    is_number = re.fullmatch(r"[+-]?[\d.eE_infaty+-]+", text.strip(), re.IGNORECASE)
    assert cell[:1] not in {"=", "+", "-", "@", "\t", "\r"} or is_number


def test_tables_hold_no_formulas_and_are_read_back(tmp_path):
    names = ["=cmd()", "+1+1", "@x", "'=y", "Wren", "-3"]
    write_csv(tmp_path / "rows.csv", ["name", "value"], [[name, -1.5] for name in names])
    write_table(tmp_path / "table.csv", pd.DataFrame({"name": names, "value": -1.5}))
    write_table(tmp_path / "classes.csv", pd.DataFrame({"name": ["Wren"], "=class()": [1]}))
    assert (tmp_path / "classes.csv").read_text() == "name,'=class()\nWren,1\n"
    for file in ("rows.csv", "table.csv"):
        assert list(read_csv(tmp_path / file, ["name"])["name"]) == names
        lines = (tmp_path / file).read_text().splitlines()
        assert lines[1] == "'=cmd(),-1.5" and lines[-1] == "-3,-1.5"
    write_csv(tmp_path / "raw.csv", ["name"], [["=cmd()"]], escape_formulas=False)
    assert (tmp_path / "raw.csv").read_text() == "name\n=cmd()\n"
