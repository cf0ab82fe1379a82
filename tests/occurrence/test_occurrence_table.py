import pytest

from lib.core.errors import EarshotError
from lib.occurrence.occurrence_table import COLUMNS, read_occurrences


def test_rows_are_read_and_sorted_by_county_and_class(line, write_csv):
    path = write_csv([line("B", "wren", {1: 0.5}), line("A", "wren", {48: 1}), line("A", "finch", {})])
    rows, problems = read_occurrences(path)
    assert problems == []
    assert [(row.county_code, row.class_name) for row in rows] == [("A", "finch"), ("A", "wren"), ("B", "wren")]
    assert rows[1].weeks[47] == 1 and rows[1].weeks.sum() == 1
    assert rows[0].box == (0, 1, 0, 1) and rows[0].county_name == "County A"


def test_columns_may_come_in_any_order_and_others_are_ignored(line, write_csv):
    path = write_csv([[*line("A", "wren", {1: 0.5})[::-1], "note"]], columns=[*COLUMNS[::-1], "remark"])
    (row,), problems = read_occurrences(path)
    assert (row.county_code, row.class_name, row.weeks[0], problems) == ("A", "wren", 0.5, [])


def test_a_byte_order_mark_spaces_and_blank_lines_do_no_harm(line, write_csv):
    path = write_csv([line(" A ", " wren ", {1: " 0.5 "}), []])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    (row,), problems = read_occurrences(path)
    assert (row.county_code, row.class_name, row.weeks[0], problems) == ("A", "wren", 0.5, [])


@pytest.mark.parametrize(
    ("column", "value", "fault"),
    [
        ("w7", "1.01", "w7 = 1.01 is not within 0..1"),
        ("w7", "-0.1", "w7 = -0.1 is not within 0..1"),
        ("w7", "nan", "w7 = nan is not within 0..1"),
        ("w7", "often", "w7 = 'often' is not a number"),
        ("w48", "", "w48 = '' is not a number"),
        ("min_y", "2", "min_y 2 is above max_y 1"),
        ("min_x", "2", "min_x 2 is above max_x 1"),
        ("max_x", "east", "max_x = 'east' is not a number"),
        ("max_y", "95", "latitudes 0 and 95 are not within -90..90"),
        ("class", "", "class is empty"),
        ("county_code", "", "county_code is empty"),
    ],
)
def test_a_faulty_row_is_named_and_left_out_while_others_are_used(line, write_csv, column, value, fault):
    bad = line("B", "wren", {})
    bad[COLUMNS.index(column)] = value
    path = write_csv([line("A", "wren", {}), bad, line("C", "wren", {})])
    rows, (problem,) = read_occurrences(path)
    assert [row.county_code for row in rows] == ["A", "C"]
    assert problem.subject == f"{path}:3" and problem.fault == fault and problem.lost


@pytest.mark.parametrize(
    ("second", "fault"),
    [
        (("A", "wren", {1: 0.9}), "wren in A was given before, in {path}:2"),
        (("A", "finch", {}, (0, 2, 0, 1)), "name or box of county A differs from {path}:2"),
    ],
)
def test_a_row_that_repeats_or_contradicts_another_is_left_out(line, write_csv, second, fault):
    path = write_csv([line("A", "wren", {1: 0.1}), line(*second)])
    (row,), (problem,) = read_occurrences(path)
    assert (row.class_name, row.weeks[0]) == ("wren", 0.1)
    assert (problem.subject, problem.fault) == (f"{path}:3", fault.format(path=path))


def test_short_rows_and_decimal_commas_are_faults(line, write_csv):
    path = write_csv([line("A", "wren", {})[:20], [*line("A", "wren", {}), 5]])
    rows, problems = read_occurrences(path)
    assert rows == [] and [problem.subject for problem in problems] == [f"{path}:2", f"{path}:3"]
    assert "decimal comma" in problems[1].fault


def test_missing_columns_are_named(line, write_csv):
    path = write_csv([], columns=[column for column in COLUMNS if column not in ("max_y", "w13")])
    with pytest.raises(EarshotError, match=f"^{path}: columns missing: max_y, w13;"):
        read_occurrences(path)
    with pytest.raises(EarshotError, match=r"missing: county_code, .*, class, w1 \.\. w48; add them"):
        read_occurrences(write_csv([], columns=["a;b;c"]))


def test_a_column_given_twice_is_an_error(write_csv):
    with pytest.raises(EarshotError, match="given twice: w1;"):
        read_occurrences(write_csv([], columns=[*COLUMNS, "w1"]))


def test_an_empty_file_and_one_that_is_not_utf_8_give_one_line(line, write_csv, tmp_path):
    (tmp_path / "empty.csv").write_bytes(b"")
    with pytest.raises(EarshotError, match=r"empty\.csv: columns missing"):
        read_occurrences(tmp_path / "empty.csv")
    path = write_csv([line("A", "grive", {})])
    path.write_bytes(path.read_bytes() + "grivé".encode("latin-1"))
    with pytest.raises(EarshotError, match=r"table\.csv:3: not UTF-8") as error:
        read_occurrences(path)
    assert "\n" not in str(error.value)


def test_all_csv_files_of_a_folder_are_one_table(line, write_csv, tmp_path):
    write_csv([line("B", "wren", {})], "tables/2.csv")
    first = write_csv([line("A", "wren", {})], "tables/1.csv")
    duplicate = write_csv([line("A", "wren", {})], "tables/3.csv")
    (tmp_path / "tables" / "notes.txt").write_text("not a table")
    rows, (problem,) = read_occurrences(tmp_path / "tables")
    assert [row.county_code for row in rows] == ["A", "B"]
    assert problem.subject == f"{duplicate}:2" and f"{first}:2" in problem.fault


def test_no_path_and_an_empty_folder_give_no_rows_but_a_wrong_path_is_an_error(tmp_path):
    assert read_occurrences(None) == ([], [])
    assert read_occurrences(tmp_path) == ([], [])
    with pytest.raises(EarshotError, match="nowhere: no such file or folder"):
        read_occurrences(tmp_path / "nowhere")
