"""Digest of code by what it computes: of a function or class, and of all code of the project that it comes to use.

Code is read, not run. From the entries on, every name that resolves to a definition in the project is followed: names
and attributes of modules, classes named in annotations (their objects are handed in), imports inside functions. Of a
class, its special methods count, and those others whose names occur as attributes anywhere in the code that counts; of
a class that extends one from outside of the project, all methods do, since that may call any of them.

What computes nothing does not count: comments, docstrings, annotations, what errors, problems and progress say, and
where a definition stands. Nor do the rooms in APART, which have nothing to do with sound, and settings, which count by
their values; but what is computed from settings, as a method or property of theirs, does count.
"""

import ast
import copy
import re
import time
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from lib.core.digests import digest_of, known_digest, state_of

PROJECT = Path(__file__).parents[2]
ROOTS = ("lib.", "stages.")
APART = ("lib.core", "lib.tracking")
SETTINGS = "lib.config"
SAID = re.compile(r"(Error|Problem|progress)$")
"""Calls whose arguments are for people."""
SAID_NAMES = frozenset({"fault", "remedy"})
JUST_NOW = 2.0
"""Seconds in which a file may change twice and look the same."""
HARMLESS_BASES = frozenset({"NamedTuple", "Protocol", "Generic", "ABC", "object", "Exception"})
"""Bases from outside of the project that call special methods only."""


class _Place(NamedTuple):
    """A name at the top level of a module."""

    module: str
    name: str


class _Module(NamedTuple):
    """What a module's top level defines, and what it imports, by name."""

    definitions: dict[str, ast.stmt]
    imports: dict[str, _Place]


class _Part(NamedTuple):
    """A definition that counts, or a method, or a class without its methods."""

    module: str
    name: str
    node: ast.AST


def digest_code(*entries: Callable | type | str) -> str:
    """Digest of functions, methods or classes of the project, and of what they use.

    Args:
        entries: each as such or, so that it need not be imported, as `module:name` or `module:Class.method`. Of a class
            alone, only its constructor and what that uses count.

    Raises LookupError for an entry that is not defined in the project.
    """
    names = [entry if isinstance(entry, str) else f"{entry.__module__}:{entry.__qualname__}" for entry in entries]
    return _known_digest(tuple(sorted(names)))


@lru_cache
def _known_digest(entries: tuple[str, ...]) -> str:
    """Their digest, computed only if a file of the project has changed: reading code takes 0.3 s."""
    files = [path for root in ROOTS for path in sorted((PROJECT / root.rstrip(".")).rglob("*.py"))]
    if time.time() - max(path.stat().st_mtime for path in files) < JUST_NOW:
        return _digest(entries)
    state = digest_of([[str(path), state_of(path)] for path in files])
    return known_digest(f"code of {', '.join(entries)}", state, lambda: _digest(entries))


def _digest(entries: tuple[str, ...]) -> str:
    places, methods = [], set()
    for entry in entries:
        module, _, names = entry.partition(":")
        name, _, method = names.partition(".")
        if (place := _defined(_Place(module, name))) is None or (method and method not in _methods(place)):
            raise LookupError(f"{entry}: is not defined in the project")
        places.append(place)
        methods.add(method)
    return digest_of(sorted(f"{name} {ast.dump(_computing(node))}" for _, name, node in _reached(places, methods)))


def _methods(place: _Place) -> list[str]:
    node = _module(place.module).definitions[place.name]
    return [child.name for child in getattr(node, "body", []) if isinstance(child, ast.FunctionDef)]


def _reached(places: list[_Place], attributes: set[str]) -> list[_Part]:
    """All that the definitions at these places come to use, these included; attributes: names of methods that count."""
    reached: set[_Place] = set()
    uncalled: list[_Part] = []  # methods that nothing names yet
    parts: list[_Part] = []
    todo: list[_Part] = []
    while places or todo:
        while places:
            place = places.pop()
            if place in reached or place.module.startswith(APART):
                continue
            reached.add(place)
            called, others = _parts_of(place)
            todo += called
            uncalled += others
        for part in todo:
            attributes |= {node.attr for node in ast.walk(part.node) if isinstance(node, ast.Attribute)}
            places += _references(part)
        parts += todo
        todo = [part for part in uncalled if part.name.rpartition(".")[2] in attributes]
        uncalled = [part for part in uncalled if part not in todo]
    return parts


def _parts_of(place: _Place) -> tuple[list[_Part], list[_Part]]:
    """What counts of a definition in any case, and methods that count once something names them."""
    node, is_settings = _module(place.module).definitions[place.name], place.module.startswith(SETTINGS)
    if not isinstance(node, ast.ClassDef):
        return ([] if is_settings else [_Part(*place, node)]), []
    methods = [child for child in node.body if isinstance(child, ast.FunctionDef)]
    rest = copy.copy(node)
    rest.body = [child for child in node.body if child not in methods]
    called, others = [_Part(*place, rest)], list[_Part]()
    extends_others = any(_is_foreign(base, place) for base in node.bases)
    for method in methods:
        part = _Part(place.module, f"{place.name}.{method.name}", method)
        (called if extends_others or method.name.startswith("__") else others).append(part)
    return ([], [*called[1:], *others]) if is_settings else (called, others)


def _is_foreign(base: ast.expr, place: _Place) -> bool:
    """Whether a base class is from outside of the project, and not harmless."""
    name = _root_name(base)
    if name in HARMLESS_BASES or name in _module(place.module).definitions:
        return False
    imported = _module(place.module).imports.get(name)
    return imported is None or not imported.module.startswith(ROOTS)


def _root_name(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _references(part: _Part) -> Iterator[_Place]:
    """The definitions in the project that a part names."""
    module = _module(part.module)
    imports = module.imports | _imports([part.node])
    texts = (ast.parse(text, mode="eval") for text in _annotation_texts(part.node))
    for node in chain(ast.walk(part.node), *map(ast.walk, texts)):
        if isinstance(node, ast.Name):
            place = imports.get(node.id, _Place(part.module, node.id))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in imports:
            place = _Place(".".join(imports[node.value.id]), node.attr)
        else:
            continue
        if (definition := _defined(place)) is not None:
            yield definition


def _annotation_texts(node: ast.AST) -> Iterator[str]:
    """Annotations that are written as text."""
    for each in ast.walk(node):
        annotations = [getattr(each, "annotation", None), getattr(each, "returns", None)]
        for inner in chain.from_iterable(map(ast.walk, filter(None, annotations))):
            if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                yield inner.value


def _defined(place: _Place) -> _Place | None:
    """Where a name is defined in the project, followed through imports; None if it is not."""
    if not place.module.startswith(ROOTS) or not _file(place.module).is_file():
        return None
    module = _module(place.module)
    if place.name in module.definitions:
        return place
    return _defined(module.imports[place.name]) if place.name in module.imports else None


def _file(module: str) -> Path:
    path = PROJECT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def _module(name: str) -> _Module:
    body = ast.parse(_file(name).read_text(encoding="utf-8")).body
    definitions: dict[str, ast.stmt] = {}
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names = [node.name]
        else:
            names = [
                each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
            ]
        for each in names:
            before = definitions.get(each)
            definitions[each] = node if before is None else ast.If(ast.Constant(True), [before, node], [])  # both count
    top = [node for node in body if not isinstance(node, ast.FunctionDef | ast.ClassDef)]
    return _Module(definitions, _imports(top))


def _imports(nodes: list) -> dict[str, _Place]:
    """What is imported anywhere within some nodes, by the name that it gets."""
    found = [each for node in nodes for each in ast.walk(node) if isinstance(each, ast.ImportFrom) and each.module]
    return {alias.asname or alias.name: _Place(each.module, alias.name) for each in found for alias in each.names}  # type: ignore[arg-type]


def _computing(node: ast.AST) -> ast.AST:
    return _Computing().visit(copy.deepcopy(node))


class _Computing(ast.NodeTransformer):
    """Takes out of code what computes nothing."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        names = {each.id for target in node.targets for each in ast.walk(target) if isinstance(each, ast.Name)}
        return None if names and names <= SAID_NAMES else self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        if isinstance(node.exc, ast.Call):
            node.exc = node.exc.func
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        node.keywords = [each for each in node.keywords if (name, each.arg) != ("Field", "description")]
        if SAID.search(name):
            values = [*node.args, *(keyword.value for keyword in node.keywords)]
            node.args, node.keywords = [value for value in values if not _is_text(value)], []
        return self.generic_visit(node)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
