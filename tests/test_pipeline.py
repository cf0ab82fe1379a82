"""dvc.yaml names, for each stage, the code that its results follow from."""

import ast
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parents[1]
STAGES = yaml.safe_load((PROJECT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
EVERYWHERE = {f"lib/{name}.py" for name in ("__init__", "config", "console", "digests", "errors", "files", "parallel")}
"""What serves all stages alike; how a result looks does not depend on it."""
ASIDE = {
    "extract": ["lib/database/rows.py", "lib/database/spec_groups.py", "lib/database/training_database.py"],
    "infer": ["lib/audio/audio.py"],
    "train": ["lib/tracking"],
}
"""Code that a stage uses for other ends than its outputs in the pipeline."""


def imported(path: Path) -> set[Path]:
    """The modules of this project that a file imports, at its top or within a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            module = PROJECT / name.replace(".", "/")
            found |= {file for file in (module.with_suffix(".py"), module / "__init__.py") if file.is_file()}
    return found


def reached(start: Path) -> set[str]:
    seen, waiting = set(), [start]
    while waiting:
        path = waiting.pop()
        if path not in seen and path.relative_to(PROJECT).as_posix() not in EVERYWHERE:
            seen.add(path)
            waiting += imported(path)
    return {path.relative_to(PROJECT).as_posix() for path in seen if path.stat().st_size}


def code_deps(name: str) -> list[str]:
    return [dep for dep in STAGES[name]["deps"] if dep.startswith(("lib", "stages"))]


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_all_code_that_it_uses(name):
    named = set(map(Path, [*code_deps(name), *ASIDE.get(name, [])]))
    used = map(Path, reached(PROJECT / "stages" / f"{name.replace('-', '_')}.py"))
    assert not [str(path) for path in used if not named & {path, *path.parents}]


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_no_code_that_is_not_there(name):
    assert not [dep for dep in code_deps(name) if not (PROJECT / dep).exists()]
