import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.core.csv_files import read_csv
from lib.sound.annotations import ANNOTATION_COLUMNS, checked_annotations
from lib.sound.classes import ClassList

HEADER = ",".join(ANNOTATION_COLUMNS)
CLASSES = ClassList(
    [
        {"name": "wren", "code": "WR", "alt_name": "Troglodytes", "alt_code": "tt"},
        {"name": "owl", "code": "OW"},
        {"name": "barn owl", "code": "OW"},
    ]
)


def table_of(path):
    table = read_csv(path, ANNOTATION_COLUMNS)
    table["line"] = [f"file:{line}" for line in table.index]
    return table


@pytest.fixture
def checked(tmp_path):
    """A function that checks lines of a table: (recording, class, start, end) tuples, and faults by line."""

    def check(*lines: str, header: str = HEADER, recordings=("a", "b"), include=None):
        (tmp_path / "annotations.csv").write_text("\n".join([header, *lines]))
        table = table_of(tmp_path / "annotations.csv")
        kept, problems = checked_annotations(table, dict.fromkeys(recordings, Path()), CLASSES, include)
        rows = list(kept[ANNOTATION_COLUMNS].itertuples(index=False, name=None))
        return rows, {problem.subject: problem.fault for problem in problems}

    return check


def test_rows_become_typed_and_sorted_with_class_names(checked):
    rows, problems = checked("b,owl,1.5,inf", "a,tt,3,4", "a,Troglodytes,1e0,2.25", "a,WR,0,1")
    expected = [("a", "wren", 0.0, 1.0), ("a", "wren", 1.0, 2.25), ("a", "wren", 3.0, 4.0)]
    assert (rows, problems) == ([*expected, ("b", "owl", 1.5, float("inf"))], {})
    assert checked() == checked(include="a*") == ([], {})


@pytest.mark.parametrize(
    ("row", "fault"),
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
        ("a,OW,1,2", "several classes have this label (a, OW)"),
        ("a,wren,0,1.0", "repeats an earlier row (a, wren)"),
        ("a,WR,0.0,1", "repeats an earlier row (a, WR)"),
    ],
)
def test_a_bad_row_is_one_problem_and_the_others_are_used(checked, row, fault):
    rows, problems = checked("a,wren,0,1", row, "b,owl,0,1")
    assert rows == [("a", "wren", 0.0, 1.0), ("b", "owl", 0.0, 1.0)]
    assert problems == {"file:3": fault}


FIELDS = st.sampled_from(["a", "b", "wren", "0", "1", "2", ""]) | st.text('ab,1.-"\n\x00é', max_size=4)


@given(st.lists(st.tuples(*[FIELDS] * len(ANNOTATION_COLUMNS)), max_size=8))
def test_each_row_of_whatever_content_is_used_or_a_problem(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("rows") / "annotations.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([ANNOTATION_COLUMNS, *rows, ("a", "wren", "1", "2")])
    table = table_of(path)
    kept, problems = checked_annotations(table, {"a": Path()}, CLASSES, None)
    assert len(kept) + len(problems) == len(table) and ("a", "wren", 1.0, 2.0) in set(kept.itertuples(index=False))
    assert len({problem.subject for problem in problems}) == len(problems)


def test_the_same_times_in_another_band_are_another_annotation(checked):
    header = f"{HEADER},low_freq,high_freq"
    rows, problems = checked("a,owl,0,1,100,200", "a,owl,0,1,300,400", "a,owl,0,1,100,200", header=header)
    assert len(rows) == 2 and problems == {"file:4": "repeats an earlier row (a, owl)"}


def test_rows_of_recordings_that_are_not_included_are_dropped_silently(checked):
    lines = ["x-1,owl,0,1", "y-1,owl,0,1", "deep/y-2,owl,0,1", "x-9,owl,0,1"]
    rows, problems = checked(*lines, recordings=("x-1",), include="x-*")
    assert rows == [("x-1", "owl", 0.0, 1.0)] and problems == {"file:5": "no such recording (x-9, owl)"}
