"""What a run was made from: its settings, the commit of its code, and the data versions that DVC recorded."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lib.config.schema import Settings

VERSIONED = ("lib", "stages", "dvc.yaml")
LONGEST_VALUE = 6000
"""Characters; MLflow's limit for a param."""


def flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as `section.key` -> text, JSON where a value is no text. Cut at MLflow's limit."""
    flat: dict[str, str] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            flat[name] = text[:LONGEST_VALUE]
    return flat


def read_commit() -> str | None:
    """SHA of the commit that is checked out in the working folder; None if there is none, or no git."""
    return _git("rev-parse", "HEAD")


def commit_tags() -> dict[str, str]:
    """Tags of an MLflow run: the commit, and whether the code differs from it."""
    sha, changes = read_commit(), _git("status", "--porcelain", "--", *VERSIONED)
    return {"mlflow.source.git.commit": sha, "git.dirty": str(bool(changes)).lower()} if sha else {}


def read_data_versions(lock: str | Path = "dvc.lock", leave_out: str | None = None) -> dict[str, str]:
    """What the stages in dvc.lock read or made, except code: path -> md5, of a folder with `.dir` behind it.

    Args:
        lock: the file.
        leave_out: a stage whose record is out of date: the running one, which DVC records when it ends.
    """
    try:
        stages = yaml.safe_load(Path(lock).read_text(encoding="utf-8"))["stages"]
    except FileNotFoundError:
        return {}
    return {
        entry["path"]: entry["md5"]
        for name, stage in stages.items()
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


def _git(*arguments: str) -> str | None:
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, env=environment, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
