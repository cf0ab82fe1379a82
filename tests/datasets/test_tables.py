import csv
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.datasets.tables import CLASS_COLUMNS, checked_annotations, class_table, read_csv
from lib.errors import DataSetError

COLUMNS = ["recording", "class", "start_time", "end_time"]
HEADER = ",".join(COLUMNS)
CLASSES = pd.DataFrame(
    [["wren", "WR", "Troglodytes", "tt", "", ""], ["owl", "OW", "", "", "", ""]], columns=CLASS_COLUMNS
)


@pytest.fixture
def write(tmp_path):
    def write(content: str | bytes, name: str = "annotations.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def rows_of(path: Path) -> dict[int, list[str]]:
    table = read_csv(path, COLUMNS)
    return dict(zip(table.index, table.values.tolist(), strict=True))


def checked(write, *rows: str, header: str = HEADER, recordings=("a", "b"), classes=CLASSES, include=None):
    """What checked_annotations makes of those lines: (recording, class, start, end) tuples and problems by line."""
    table = read_csv(write("\n".join([header, *rows])), COLUMNS)
    table["line"] = [f"file:{line}" for line in table.index]
    kept, problems = checked_annotations(table, dict.fromkeys(recordings, Path()), classes, include)
    return list(kept[COLUMNS].itertuples(index=False, name=None)), {p.subject: p.reason for p in problems}


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
    ("content", "reason"),
    [
        (b"", "is empty; its first line must be recording,class,start_time,end_time"),
        (b"\n \n", "is empty"),
        (b"recording,class,start_time\na,wren,1\n", "lacks the column end_time"),
        (b"recording;class;start_time;end_time\n", "lacks the column recording"),
        (f"{HEADER}\nb\xfcsch,wren,1,2\n".encode("latin-1"), "is not UTF-8"),
        (f"{HEADER}\na,wren,1,2\n".encode("utf-16"), "is not UTF-8"),
        (f'{HEADER}\n"a,wren,1,2\nb,owl,1,2\n'.encode(), "unexpected end of data"),
    ],
)
def test_a_table_that_cannot_be_read_is_an_error_of_one_line(write, content, reason):
    path = write(content)
    with pytest.raises(DataSetError) as error:
        read_csv(path, COLUMNS)
    assert str(error.value).startswith(str(path)) and reason in str(error.value) and "\n" not in str(error.value)


def test_a_table_that_is_missing_is_an_error_of_one_line(tmp_path):
    with pytest.raises(DataSetError, match=r"none\.csv: no such file"):
        read_csv(tmp_path / "none.csv", COLUMNS)


def test_rows_become_typed_and_sorted_with_class_names(write):
    rows, problems = checked(write, "b,OW,1.5,inf", "a,tt,3,4", "a,Troglodytes,1e0,2.25", "a,wren,0,1")
    expected = [("a", "wren", 0.0, 1.0), ("a", "wren", 1.0, 2.25), ("a", "wren", 3.0, 4.0)]
    assert (rows, problems) == ([*expected, ("b", "owl", 1.5, float("inf"))], {})


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a,wren,one,2", "a time is not a number (a, wren)"),
        ("a,wren,,2", "a time is not a number (a, wren)"),
        ("a,wren,nan,2", "a time is not a number (a, wren)"),
        ("a,wren", "a time is not a number (a, wren)"),
        ("a,wren,-0.1,2", "starts before the recording (a, wren)"),
        ("a,wren,2,1", "ends before it starts (a, wren)"),
        ("a,wren,1,1", "has no duration (a, wren)"),
        ("a,wren,inf,inf", "has no duration (a, wren)"),
        ("c,wren,1,2", "no such recording (c, wren)"),
        (",wren,1,2", "no such recording (, wren)"),
        ("a,lark,1,2", "unknown class (a, lark)"),
        ("a,,1,2", "unknown class (a, no class)"),
        ("a,owl,0,1.0", "stands above already (a, owl)"),
        ("a,OW,0.0,1", "stands above already (a, OW)"),
    ],
)
def test_a_bad_row_is_one_problem_and_the_others_are_used(write, row, reason):
    rows, problems = checked(write, "a,owl,0,1", row, "b,owl,0,1")
    assert rows == [("a", "owl", 0.0, 1.0), ("b", "owl", 0.0, 1.0)]
    assert problems == {"file:3": reason}


FIELDS = st.sampled_from(["a", "b", "wren", "0", "1", "2", ""]) | st.text('ab,1.-"\n\x00é', max_size=4)


@given(st.lists(st.tuples(*[FIELDS] * len(COLUMNS)), max_size=8))
def test_whatever_the_rows_say_each_is_used_or_a_problem(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("rows") / "annotations.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows, ("a", "wren", "1", "2")])
    table = read_csv(path, COLUMNS)
    table["line"] = [str(line) for line in table.index]
    kept, problems = checked_annotations(table, {"a": Path()}, CLASSES, None)
    assert len(kept) + len(problems) == len(table) and ("a", "wren", 1.0, 2.0) in set(kept.itertuples(index=False))
    assert len({problem.subject for problem in problems}) == len(problems)


def test_the_same_times_in_another_band_are_another_annotation(write):
    header = f"{HEADER},low_freq,high_freq"
    rows, problems = checked(write, "a,owl,0,1,100,200", "a,owl,0,1,300,400", "a,owl,0,1,100,200", header=header)
    assert len(rows) == 2 and problems == {"file:4": "stands above already (a, owl)"}


def test_rows_of_recordings_that_are_left_out_are_dropped_without_a_word(write):
    lines = ["x-1,owl,0,1", "y-1,owl,0,1", "deep/y-2,owl,0,1", "x-9,owl,0,1"]
    rows, problems = checked(write, *lines, recordings=("x-1",), include="x-*")
    assert rows == [("x-1", "owl", 0.0, 1.0)] and problems == {"file:5": "no such recording (x-9, owl)"}


def test_a_table_without_rows_is_no_error(write):
    assert checked(write) == ([], {})
    assert checked(write, include="a*") == ([], {})


def test_classes_are_those_of_the_annotations_if_no_table_names_them(tmp_path):
    table, problems = class_table(tmp_path, pd.DataFrame({"class": ["owl", "wren", "", "owl"]}))
    assert list(table.columns) == CLASS_COLUMNS and problems == []
    assert table[["name", "code", "alt_name"]].values.tolist() == [["owl", "owl", ""], ["wren", "wren", ""]]


def test_classes_of_the_table_keep_its_order_and_bad_ones_are_problems(write, tmp_path):
    path = write("code,name\nWR,wren\n,owl\nX,wren\nWR,lark\nY,\n", "classes.csv")
    table, problems = class_table(tmp_path, pd.DataFrame({"class": []}))
    assert table[["name", "code"]].values.tolist() == [["wren", "WR"], ["owl", "owl"]]
    assert [problem.subject for problem in problems] == [f"{path}:{line}" for line in (4, 5, 6)]
