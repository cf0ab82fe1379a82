"""What a run was made from: its settings, the commit of its code, and the data versions that DVC recorded."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from lib.config import Settings

CODE = ("lib", "stages", "dvc.yaml")
LONGEST_VALUE = 6000  # characters; MLflow's limit for a param


class Commit(NamedTuple):
    """Git commit of the project. dirty: the code differs from it (settings and data versions are logged anyway)."""

    sha: str
    dirty: bool


class DataVersion(NamedTuple):
    """Content of a data file or folder, as DVC hashed it. md5 of a folder ends in `.dir`."""

    path: str
    md5: str


def flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as `section.key` → text; what is not text is written as JSON. Cut at MLflow's limit."""
    flat: dict[str, str] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            flat[name] = text[:LONGEST_VALUE]
    return flat


def read_commit() -> Commit | None:
    """The commit that is checked out in the working folder; None where there is none, or no git."""
    sha = _git("rev-parse", "HEAD")
    if sha is None:
        return None
    return Commit(sha, dirty=bool(_git("status", "--porcelain", "--", *CODE)))


def read_data_versions(lock: str | Path = "dvc.lock", leave_out: str | None = None) -> list[DataVersion]:
    """Everything but code that the stages in dvc.lock read or made, a path once, in the order of the file.

    leave_out: a stage whose record is not to be trusted: the one that runs now, since DVC records it when it ends.
    """
    try:
        stages = yaml.safe_load(Path(lock).read_text(encoding="utf-8"))["stages"]
    except FileNotFoundError:
        return []
    found: dict[str, str] = {}
    for name, stage in stages.items():
        if name == leave_out:
            continue
        for entry in (*stage.get("deps", ()), *stage.get("outs", ())):
            path = entry["path"]
            if "md5" in entry and path.split("/")[0] not in CODE:
                found[path] = entry["md5"]
    return [DataVersion(path, md5) for path, md5 in found.items()]


def data_set_versions(settings: Settings, versions: list[DataVersion]) -> dict[str, DataVersion]:
    """Which of the versions are the input data, keyed by the section of params.yaml that names them."""
    paths = {
        "data.train": settings.data.train.path,
        "data.test": settings.data.test.path,
        "occurrences": settings.occurrences.path,
    }
    known = {os.path.abspath(version.path): version for version in versions}
    found = {section: known.get(os.path.abspath(path)) for section, path in paths.items() if path}
    return {section: version for section, version in found.items() if version}


def _git(*arguments: str) -> str | None:
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, env=environment, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
