import os
import subprocess
import sys
from pathlib import Path

import pytest

from lib.core import kept_outputs
from lib.core.errors import Problem
from lib.core.kept_outputs import FOLDER, keep_outputs, restore_outputs

PROJECT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return tmp_path


def test_outputs_come_back_under_their_key_to_whatever_place_with_what_was_to_say(project):
    (project / "models").mkdir()
    model, metrics = project / "models/model.pt", project / "train.json"
    model.write_text("weights")
    metrics.write_text("{}")
    problems = [Problem("Wren", "has one recording", "add others", lost=False)]
    assert keep_outputs("train", "key", {"models": model.parent, "metrics": metrics}, [model, metrics], problems) == []
    model.unlink()
    places = {"models": project / "others", "metrics": project / "other.json"}
    restored = restore_outputs("train", "key", places)
    assert restored == ([project / "others/model.pt", project / "other.json"], problems)
    assert [path.read_text() for path in restored.files] == ["weights", "{}"]
    assert restore_outputs("train", "another key", places) is restore_outputs("evaluate", "key", places) is None


def test_only_the_keys_used_last_are_kept(project, monkeypatch):
    monkeypatch.setattr(kept_outputs, "KEPT_KEYS", 2)
    path = project / "a.txt"
    for key in ("one", "two", "three"):
        path.write_text(key)
        keep_outputs("train", key, {"text": path}, [path], [])
        restore_outputs("train", "one", {"text": path})
    kept = [key for key in ("one", "two", "three") if restore_outputs("train", key, {"text": path})]
    assert kept == ["one", "three"]


def test_what_a_killed_process_left_is_removed_and_never_taken_for_outputs(project):
    left = project / FOLDER / "train/.0123"
    left.mkdir(parents=True)
    (left / "model.pt").touch()
    assert restore_outputs("train", ".0123", {}) is None and not left.exists()


def test_outputs_that_cannot_be_kept_are_a_problem_and_no_error(project):
    path = project / "a.txt"
    (problem,) = keep_outputs("train", "key", {"text": path}, [path], [])
    assert "cannot be kept (No such file or directory)" in str(problem)
    assert restore_outputs("train", "key", {"text": path}) is None
    assert [path.name for path in (project / FOLDER / "train").iterdir()] == [".lock"]


@pytest.mark.parametrize("damage", ["truncated", "missing", "contents", "no contents", "locked"])
def test_what_is_damaged_or_out_of_reach_is_not_put_back(project, damage):
    path = project / "model.pt"
    path.write_text("weights")
    keep_outputs("train", "key", {"model": path}, [path], [])
    folder = project / FOLDER / "train"
    kept, contents = folder / "key/model", folder / "key/contents.json"
    {
        "truncated": lambda: kept.write_text("wei"),
        "missing": kept.unlink,
        "contents": lambda: contents.write_text("{"),
        "no contents": contents.unlink,
        "locked": lambda: (folder / ".lock").unlink() or (folder / ".lock").mkdir(),
    }[damage]()
    path.write_text("of another training")
    assert restore_outputs("train", "key", {"model": path}) is None
    assert path.read_text() == "of another training"
    if damage != "locked":
        assert keep_outputs("train", "key", {"model": path}, [path], []) == []
        path.unlink()
        assert restore_outputs("train", "key", {"model": path}) == ([path], []) and path.exists()


def test_processes_that_keep_and_restore_the_same_at_a_time_get_all_of_it(project):
    code = """
from pathlib import Path
from lib.core.kept_outputs import keep_outputs, restore_outputs
folder = Path("{name}")
folder.mkdir()
files = [folder / f"{{n}}.txt" for n in range(20)]
for file in files:
    file.write_text("x")
for _ in range(30):
    assert keep_outputs("train", "key", {{"models": folder}}, files, []) == []
    assert len(restore_outputs("train", "key", {{"models": folder}}).files) == 20
"""
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    running = [subprocess.Popen([sys.executable, "-c", code.format(name=n)], env=environment) for n in "abc"]
    assert [process.wait() for process in running] == [0, 0, 0]
