"""The coverage table in lib.curation's docstring, against the reference and against what is there."""

import ast
import inspect
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import pytest

import lib
import lib.curation

PROJECT = Path(__file__).parents[2]
REFERENCE = PROJECT.parent / "shared" / "reference" / "aquarium-client.txt"


class Row(NamedTuple):
    """A row of the table of methods; about: why they have no meaning for sound, or ""."""

    classes: list[str]
    patterns: list[str]
    about: str
    test: str


def cells(heading: str) -> list[list[str]]:
    """The cells of the rows below a heading."""
    _, _, below = lib.curation.__doc__.partition(heading)
    rows = below.strip().partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in row.strip("| ").split(" | ")] for row in rows if not row.startswith("| ---")]


def table() -> list[Row]:
    rows = []
    for classes, methods, test in cells("| class | methods | test_... |"):
        methods, _, about = methods.partition(": ")
        rows.append(Row(classes.split(", "), methods.split(", "), about, f"test_{test}"))
    return rows


def modules() -> dict[str, str]:
    """The module of each class."""
    rows = cells("| module of lib.curation | classes |")
    return {name: f"lib.curation.{module}" for module, classes in rows for name in classes.split(", ")}


def rows_of(class_name: str, method: str) -> list[Row]:
    """The rows of a method, or of the class that it is inherited from."""
    classes = {each.__name__ for each in getattr(lib, class_name).__mro__}
    return [
        row
        for row in table()
        if classes.intersection(row.classes) and any(fnmatchcase(method, each) for each in row.patterns)
    ]


def documented() -> dict[str, list[str]]:
    """Methods of each class of the reference."""
    if not REFERENCE.is_file():
        pytest.skip("../shared/reference is not there")
    methods: dict[str, list[str]] = {}
    name = ""
    for line in REFERENCE.read_text(encoding="utf-8").splitlines():
        if found := re.match(r"class aquariumlearning\.(\w+)\(", line):
            name = found[1]
            methods[name] = []
        elif name and (found := re.match(r"(?:static )?([a-z]\w*)\(.*\)$", line)):
            methods[name].append(found[1])
    return methods


def test_each_documented_class_and_method_has_its_row():
    reference = documented()
    assert sum(map(len, reference.values())) > 200
    missing = [
        f"{name}.{method}" for name in reference for method in ["class", *reference[name]] if not rows_of(name, method)
    ]
    assert missing == []


def test_each_row_is_about_something_documented():
    reference = documented()
    for row in table():
        for name in row.classes:
            for pattern in row.patterns:
                assert any(fnmatchcase(method, pattern) for method in ["class", *reference[name]]), (name, pattern)


def test_each_documented_method_is_there():
    reference = documented()
    for name in reference:
        assert getattr(lib, name).__module__ == modules()[name]
        missing = [method for method in reference[name] if not callable(getattr(getattr(lib, name), method, None))]
        assert missing == [], name


def test_methods_have_no_meaning_for_sound_where_the_table_says_so():
    reference = documented()
    for name in reference:
        for method in reference[name]:
            text = inspect.getdoc(getattr(getattr(lib, name), method))
            assert any(row.about for row in rows_of(name, method)) == text.startswith("Raise NoMeaningForSound"), method


def test_each_test_in_the_table_is_there():
    tests = {
        node.name
        for path in (PROJECT / "tests" / "curation").rglob("test_*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }
    assert {row.test for row in table()} - tests == set()


def documented_parameters() -> list[tuple[str, str, set[str]]]:
    pattern = re.compile(r"(?:static )?([a-z]\w*)\((.*)\)$")
    found, name = [], ""
    for line in REFERENCE.read_text(encoding="utf-8").splitlines() if REFERENCE.is_file() else ():
        if heading := re.match(r"class aquariumlearning\.(\w+)\((.*)\)$", line):
            name = heading[1]
            found.append((name, "__init__", heading[2]))
        elif name and (heading := pattern.match(line)):
            found.append((name, heading[1], heading[2]))
    split = re.compile(r",\s*(?![^(\[]*[)\]])")
    return [
        (name, method, {part.split("=")[0].strip() for part in split.split(text)} - {"*", ""} - {"*args", "**kwargs"})
        for name, method, text in found
    ]


def test_each_method_takes_the_documented_parameters():
    documented()
    for name, method, parameters in documented_parameters():
        if name == "PrimaryTaskTypes":
            continue
        taken = inspect.signature(getattr(getattr(lib, name), method)).parameters.keys()
        assert parameters <= taken, (name, method, parameters - taken)
