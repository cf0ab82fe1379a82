"""dvc.yaml and the code of the real stages: what DVC starts again, and what the stages compute again."""

import sys
from pathlib import Path

import grimp
import pytest
import yaml

from tests.pipeline_copy import PipelineCopy

PROJECT = Path(__file__).parents[1]
PIPELINE = (PROJECT / "dvc.yaml").read_text(encoding="utf-8")
STAGES = yaml.safe_load(PIPELINE)["stages"]
APART = {"train": {"lib/tracking"}, "sample": {"lib/core", "lib/config"}}
"""Rooms that a stage uses and that do not shape its outputs."""


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    sys.path.insert(0, str(PROJECT))
    return grimp.build_graph("lib", "stages", cache_dir=None)


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_the_rooms_that_it_uses_and_on_no_others(name, imports):
    modules = imports.find_upstream_modules(f"stages.{name.replace('-', '_')}")
    rooms = {"/".join(module.split(".")[:2]) for module in modules if module.startswith("lib.")}
    assert {dep for dep in STAGES[name]["deps"] if dep.startswith("lib/")} == rooms - APART.get(name, set())


def test_dvc_yaml_reads_like_a_table_of_contents():
    assert len(PIPELINE.splitlines()) <= 130


@pytest.fixture
def repro(tmp_path, mlflow_uri):
    """Run `dvc repro` in a copy of the project; returns what it prints and the md5s of the outputs."""
    copy = PipelineCopy(tmp_path / "project", mlflow_uri)

    def run() -> tuple[str, dict[str, str]]:
        return copy.repro()

    run.folder = copy.folder
    return run


def test_a_comment_recomputes_nothing_and_a_factor_all_that_depends_on_it(repro):
    path = repro.folder / "lib/audio/spectrograms.py"
    code = path.read_text()
    printed, first = repro()
    assert "6 recordings (6 new" in printed

    path.write_text(code.replace('"""Spectrograms', '# A comment, and another docstring.\n"""Pictures', 1))
    assert path.read_text() != code
    printed, outputs = repro()
    assert "Running stage 'train'" in printed and "6 recordings (0 new" in printed and "kept" in printed
    assert outputs == first

    path.write_text(code.replace("10 * np.log10(", "12.5 * np.log10("))
    assert path.read_text() != code
    printed, outputs = repro()
    assert "6 recordings (6 new" in printed and "kept" not in printed
    for name in ("data/training.db", "data/models", "data/labels"):
        assert outputs[name] != first[name]
