from pathlib import Path

import pytest

from lib.core.errors import SettingsError
from lib.sound.classes import CLASS_COLUMNS, ClassList, read_class_table, read_excluded

WREN = {"name": "wren", "code": "WR", "alt_name": "Troglodytes", "alt_code": "tt", "color": "brown"}
JUNCOS = [
    {"name": f"{color} junco", "code": f"{color[0].upper()}J", "alt_name": "Junco"} for color in ("slate", "grey")
]
CLASSES = ClassList([WREN, {"name": "owl", "code": None, "alt_name": float("nan")}, *JUNCOS])


@pytest.mark.parametrize("label", ["wren", "WR", "Troglodytes", "tt"])
def test_name_code_and_alternative_ones_resolve_alike(label):
    assert CLASSES.resolve(label) == "wren"
    assert CLASSES.indices(["owl", label]).tolist() == [1, 0]


@pytest.mark.parametrize("label", ["lark", "", "Wren", "brown", "Junco"])
def test_a_label_of_no_class_or_of_several_resolves_to_none(label):
    assert CLASSES.resolve(label) is None
    assert CLASSES.indices([label, "owl", label]).tolist() == [-1, 1, -1]


def test_labels_that_several_classes_share_are_listed_unless_one_is_called_so():
    assert CLASSES.shared == ["Junco"]
    assert ClassList([*JUNCOS, {"name": "Junco"}]).shared == []


def test_a_name_takes_precedence_over_a_code_and_a_code_over_an_alternative_name():
    classes = ClassList([{"name": "a", "code": "b"}, {"name": "b", "code": "c"}, {"name": "d", "alt_name": "c"}])
    assert [classes.resolve(label) for label in "abcd"] == ["a", "b", "b", "d"]
    assert classes.resolve("b", first="codes") == "a" and classes.resolve("c", first="alt_names") == "d"


def test_a_class_without_a_code_or_alternative_name_is_called_by_its_name():
    classes = ClassList([WREN, {"name": "owl", "code": "OW"}, {"name": "lark"}])
    assert {field: classes.called(field) for field in ("names", "codes", "alt_names", "alt_codes")} == {
        "names": ["wren", "owl", "lark"],
        "codes": ["WR", "OW", "lark"],
        "alt_names": ["Troglodytes", "owl", "lark"],
        "alt_codes": ["tt", "OW", "lark"],
    }
    assert len(classes) == 3 and classes.indices([]).tolist() == []


def test_classes_are_those_of_the_annotations_if_no_table_names_them(tmp_path):
    table, problems = read_class_table(tmp_path, ["owl", "wren", "", "owl"])
    assert list(table.columns) == CLASS_COLUMNS and problems == []
    assert table[["name", "code", "alt_name"]].values.tolist() == [["owl", "owl", ""], ["wren", "wren", ""]]


def test_classes_of_the_table_keep_its_order_and_bad_ones_are_problems(tmp_path):
    path = tmp_path / "classes.csv"
    path.write_text("code,name\nWR,wren\n,owl\nX,wren\nWR,lark\nY,\n")
    table, problems = read_class_table(tmp_path, [])
    assert table[["name", "code"]].values.tolist() == [["wren", "WR"], ["owl", "owl"]]
    assert [problem.subject for problem in problems] == [f"{path}:{line}" for line in (4, 5, 6)]


def test_classes_to_exclude_may_be_given_by_any_label(tmp_path):
    path = tmp_path / "exclude.txt"
    path.write_text("\ufeff# not wanted\n tt \n\nowl\nJunco\nlark\n")
    names, problems = read_excluded(path, CLASSES)
    assert names == {"wren", "owl"}
    assert [(problem.subject, problem.fault, problem.lost) for problem in problems] == [
        (f"{path}:5", "the model has no class Junco", False),
        (f"{path}:6", "the model has no class lark", False),
    ]
    assert read_excluded(None, CLASSES) == (set(), [])


@pytest.mark.parametrize(("content", "fault"), [(None, "No such file"), (b"b\xfcsch", "is not UTF-8")])
def test_a_list_of_excluded_classes_that_cannot_be_read_names_the_setting(tmp_path, content, fault):
    path = Path(tmp_path / "exclude.txt")
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=rf"infer\.exclude = '{path}': .*{fault}"):
        read_excluded(path, CLASSES)
