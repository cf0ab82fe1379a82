"""A file is found at the first guess, and a class is meant by its name alone."""

import ast
from collections import Counter
from pathlib import Path

PROJECT = Path(__file__).parents[1]
FILES = [path for room in ("lib", "stages") for path in (PROJECT / room).rglob("*.py") if path.stem != "__init__"]

DEFINITIONS = ast.ClassDef | ast.FunctionDef


def shared(names) -> list[str]:
    return sorted(name for name, n in Counter(names).items() if n > 1)


def test_no_two_modules_share_a_name():
    assert shared(path.stem for path in FILES) == []


def test_no_two_public_classes_or_functions_share_a_name():
    nodes = [node for path in FILES for node in ast.parse(path.read_text(encoding="utf-8")).body]
    names = [node.name for node in nodes if isinstance(node, DEFINITIONS) and node.name[0] != "_"]
    assert shared(names) == ["extract"]  # the stage, and what lib offers in Python in its place
