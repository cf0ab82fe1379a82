"""Which modules of this project a file comes to use."""

import ast
from pathlib import Path

PROJECT = Path(__file__).parents[1]
EVERYWHERE = {f"lib/{name}.py" for name in ("__init__", "config", "console", "digests", "errors", "files", "parallel")}
"""What serves all stages alike; how a result looks does not depend on it."""


def reached(start: Path) -> set[str]:
    """The modules that one uses, itself included, as far as they hold code, by their paths in the project."""
    seen: dict[str, ast.Module] = {}
    waiting = [start.relative_to(PROJECT).as_posix()]
    while waiting:
        path = waiting.pop()
        if path not in seen and path not in EVERYWHERE:
            seen[path] = ast.parse((PROJECT / path).read_text(encoding="utf-8"))
            waiting += _imported(seen[path])
    return {path for path, module in seen.items() if len(module.body) > (ast.get_docstring(module) is not None)}


def _imported(module: ast.Module) -> set[str]:
    """The modules of this project that one imports, at its top or within a function."""
    found = set()
    for node in ast.walk(module):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            path = name.replace(".", "/")
            found |= {file for file in (f"{path}.py", f"{path}/__init__.py") if (PROJECT / file).is_file()}
    return found
