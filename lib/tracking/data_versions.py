"""What a run was made from: its settings, the commit of its code, and the data versions that DVC recorded."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lib.config.named_parts import flat_values
from lib.config.schema import Settings
from lib.config.setting_values import YamlLoader

VERSIONED = ("lib", "stages", "dvc.yaml")
DECIDED = ("params.yaml", "*.dvc")
"""What a pipeline run is decided by, besides its code."""
LONGEST_VALUE = 6000
"""Characters; MLflow's limit for a param."""


def flatten(content: Mapping[str, Any]) -> dict[str, str]:
    """Nested settings as `section.key` -> text, JSON where a value is not text. Cut at MLflow's limit."""
    values = flat_values(content).items()
    texts = {name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for name, value in values}
    return {name: text[:LONGEST_VALUE] for name, text in texts.items()}


def read_commit() -> str | None:
    """SHA of the commit that is checked out in the working folder; None if there is none, or no git."""
    return _git("rev-parse", "HEAD")


def is_dirty(paths: Sequence[str]) -> bool:
    """Whether files differ from the commit, or are new."""
    return bool(_git("status", "--porcelain", "--", *paths))


def commit_tags() -> dict[str, str]:
    """Tags of an MLflow run: the commit, and whether the code differs from it."""
    sha = read_commit()
    return {"mlflow.source.git.commit": sha, "git.code_dirty": str(is_dirty(VERSIONED)).lower()} if sha else {}


def read_committed() -> tuple[Settings, dict[str, str]] | None:
    """The settings and the data versions (as read_data_versions) of the commit; None if it holds no valid ones."""
    params, lock = (_git("show", f"HEAD:./{name}") for name in ("params.yaml", "dvc.lock"))
    if not params or not lock:
        return None
    try:
        return Settings.model_validate(yaml.load(params, YamlLoader)), _versions(yaml.safe_load(lock), None)
    except (yaml.YAMLError, ValueError, KeyError, TypeError):
        return None


def read_data_versions(lock: str | Path = "dvc.lock", leave_out: str | None = None) -> dict[str, str]:
    """What the stages in dvc.lock read or made, except code: path -> md5, of a folder with `.dir` behind it.

    Args:
        lock: the file.
        leave_out: a stage whose record is out of date: the running one, which DVC records when it ends.
    """
    try:
        return _versions(yaml.safe_load(Path(lock).read_text(encoding="utf-8")), leave_out)
    except FileNotFoundError:
        return {}


def _versions(locked: Mapping[str, Any], leave_out: str | None) -> dict[str, str]:
    return {
        entry["path"]: entry["md5"]
        for name, stage in locked["stages"].items()
        if name != leave_out
        for entry in (*stage.get("deps", ()), *stage.get("outs", ()))
        if "md5" in entry and entry["path"].split("/")[0] not in VERSIONED
    }


def data_set_versions(settings: Settings, versions: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Path and md5 of the input data, by the section of params.yaml that names them."""
    data = settings.data
    paths = {"data.train": data.train.path, "data.test": data.test.path, "occurrences": settings.occurrences.path}
    by_path = {os.path.abspath(path): (path, md5) for path, md5 in versions.items()}
    inputs = {section: os.path.abspath(path) for section, path in paths.items() if path}
    return {section: by_path[path] for section, path in inputs.items() if path in by_path}


def by_data_set(data_sets: Mapping[str, tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Of data sets by section, as data_set_versions gives them: the sections that use each, with commas between."""
    used = dict.fromkeys(data_sets.values())
    return {each: ", ".join(name for name, data_set in data_sets.items() if data_set == each) for each in used}


def _git(*arguments: str) -> str | None:
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, env=environment, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
