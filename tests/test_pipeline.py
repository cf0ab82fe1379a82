"""dvc.yaml and the code of the real stages: what DVC starts again, and what the stages compute again."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import grimp
import pytest
import yaml

from lib.config.documentation import params_text
from lib.config.load import load_settings
from tests.tracking.tiny import PLAIN, QUICK
from tests.training_data.builders import write_data_set, write_params

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
def repro(tmp_path, monkeypatch, mlflow_uri):
    """Run `dvc repro` in a copy of the project with small data; returns what it prints and the md5s of the outputs."""
    for name in list(os.environ):
        if name.startswith(("DVC_", "MLFLOW_", "GIT_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    folder = tmp_path / "project"
    for name in ("lib", "stages"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "dvc.yaml", folder)
    write_data_set(folder / "set", 6)
    (folder / "occurrences").mkdir()
    (folder / "occurrences/.keep").touch()  # DVC takes an empty folder for none
    params = write_params(
        folder / "params.yaml",
        Path("set"),
        occurrences={"path": "occurrences"},
        train=QUICK | PLAIN,
        infer=PLAIN | {"overlap": 0.25},
        evaluate={"min_seconds": 0.2, "bootstrap": 0},
        tracking={"log_model": False},
    )
    params.write_text(params_text(load_settings(params)))  # DVC wants the keys that dvc.yaml names

    def call(*command: str) -> str:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    call("dvc", "init", "-q", "--no-scm")
    call("dvc", "config", "core.analytics", "false")

    def run() -> tuple[str, dict[str, str]]:
        printed = call("dvc", "repro", "evaluate")
        locked = yaml.safe_load((folder / "dvc.lock").read_text())["stages"]
        return printed, {out["path"]: out["md5"] for stage in locked.values() for out in stage["outs"]}

    run.folder = folder
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
