"""dvc.yaml names, for each stage, the code that its results follow from."""

import pytest
import yaml

from tests.code import PROJECT, reached

STAGES = yaml.safe_load((PROJECT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
OF_OUTPUT = {
    *("lib/audio/metadata.py", "lib/inference/label_formats.py", "lib/inference/manifest.py"),
    *("lib/inference/scaling.py", "lib/models/calibration.py", "lib/models/description.py"),
    *(f"lib/occurrence/{name}.py" for name in ("__init__", "filter", "pickle_provider", "places", "recordings")),
    "lib/occurrence/season.py",
}
"""What lib.inference.output needs to write results, beside which it reads them."""
ASIDE = {
    "evaluate": OF_OUTPUT,
    "extract": {"lib/database/rows.py", "lib/database/spec_groups.py", "lib/database/training_database.py"},
    "infer": {"lib/audio/audio.py"},
    "train": {f"lib/tracking/{name}.py" for name in ("contents", "runs", "store", "versions")}
    | {"lib/training/lr_finder.py"},
}
"""Code that a stage uses for other ends than its outputs in the pipeline."""
BY_NAME = "lib/datasets"
"""Its modules are imported by the names of formats."""


def code_deps(name: str) -> list[str]:
    return [dep for dep in STAGES[name]["deps"] if dep.startswith(("lib", "stages"))]


def named(name: str) -> set[str]:
    """The modules of a stage's dependencies, those in folders included."""
    paths = [PROJECT / dep for dep in code_deps(name)]
    files = [file for path in paths for file in (path.rglob("*.py") if path.is_dir() else [path])]
    return {file.relative_to(PROJECT).as_posix() for file in files}


def used(name: str) -> set[str]:
    return reached(PROJECT / f"stages/{name.replace('-', '_')}.py")


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_all_code_that_it_uses(name):
    assert used(name) - named(name) - ASIDE.get(name, set()) == set()


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_no_other_code(name):
    others = {path for path in named(name) - used(name) if not path.startswith(BY_NAME)}
    assert {path for path in others if path in reached(PROJECT / path)} == set()


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_no_code_that_is_not_there(name):
    assert not [dep for dep in code_deps(name) if not (PROJECT / dep).exists()]
