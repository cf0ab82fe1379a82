"""What the reference documents can be imported from lib, and takes the documented arguments."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lib

PROJECT = Path(__file__).parents[1]
REFERENCE = PROJECT.parent / "shared" / "reference" / "britekit-api.txt"


def documented() -> dict[str, ast.arguments]:
    """The arguments of each class (its constructor), method and function of the reference, by dotted name."""
    if not REFERENCE.is_file():
        return {}
    found = {}
    for line in REFERENCE.read_text(encoding="utf-8").splitlines():
        start = re.match(r"(?:Function)?((?:[A-Z]\w+)(?:\.\w+)?|[a-z]+_\w+)\(", line)
        if start and (arguments := balanced(line, start.end())) is not None:
            found.setdefault(start[1], arguments)
    return found


def balanced(line: str, start: int) -> ast.arguments | None:
    """The arguments between an opening parenthesis, behind which `start` is, and its closing one."""
    depth = 1
    for position in range(start, len(line)):
        depth += {"(": 1, ")": -1}.get(line[position], 0)
        if depth == 0:
            try:
                return ast.parse(f"def f({line[start:position]}): pass").body[0].args  # type: ignore[attr-defined]
            except SyntaxError:
                return None
    return None


DOCUMENTED = documented()


def find(name: str):
    first, *rest = name.split(".")
    found = getattr(lib, first)
    for part in rest:
        found = getattr(found, part)
    return found


@pytest.mark.skipif(not DOCUMENTED, reason="the reference document is not there")
def test_the_document_lists_what_lib_offers():
    assert {name.split(".")[0] for name in DOCUMENTED} >= set(lib.__all__) - {"get_config"}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_documented_arguments_have_their_names_order_and_defaults(name):
    expected = [argument.arg for argument in DOCUMENTED[name].args if argument.arg != "self"]
    defaults = [ast.literal_eval(value) for value in DOCUMENTED[name].defaults]
    parameters = [p for p in inspect.signature(find(name)).parameters.values() if p.name != "self"]
    assert [p.name for p in parameters[: len(expected)]] == expected
    with_default = parameters[len(expected) - len(defaults) : len(expected)]
    assert [p.default for p in with_default] == defaults
    assert all(p.default is not inspect.Parameter.empty for p in parameters[len(expected) :] if p.kind < 2)


def test_importing_lib_loads_nothing_heavy():
    heavy = "{'torch', 'pandas', 'sqlalchemy', 'mlflow', 'numpy'}"
    code = f"import lib, sys; print(sorted({heavy} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="Predictr"):
        lib.Predictr  # noqa: B018
