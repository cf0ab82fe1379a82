"""Outputs of a stage, kept by what they are computed from: what was computed once is not computed again.

DVC starts a stage whenever a file that it depends on has changed, be it a comment; and it removes its outputs first. A
stage that finds its key here takes the outputs back instead. Experiments of a project share what is kept.
"""

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from lib.core.errors import Problem
from lib.core.files import atomic, project_root, write_json

FOLDER = Path(".cache/outputs")
KEPT_KEYS = 10
"""Keys of a stage whose outputs are kept: those that were used last."""
PROBLEMS = "problems.json"


class Restored(NamedTuple):
    """Outputs that were put back: their paths, and the problems that were noted when they were made."""

    files: list[Path]
    problems: list[Problem]


def keep_outputs(
    stage: str, key: str, roots: Mapping[str, Path], files: list[Path], problems: list[Problem]
) -> list[Problem]:
    """Keep files that a stage wrote.

    Args:
        stage: its name.
        key: digest of all that the files depend on.
        roots: name -> folder or file; each of the files is one of these, or lies in one.
        files: what was written.
        problems: to show again with them.

    Returns a Problem if they cannot be kept.
    """
    try:
        with _locked(stage) as folder:
            part = folder / f".{uuid.uuid4().hex}"
            try:
                for name, root in roots.items():
                    for file in files:
                        if file.is_relative_to(root):
                            target = part / name / file.relative_to(root)
                            target.parent.mkdir(parents=True, exist_ok=True)
                            shutil.copyfile(file, target)
                write_json(part / PROBLEMS, problems)
                _remove(folder / key)
                part.rename(folder / key)
            finally:
                shutil.rmtree(part, ignore_errors=True)
            by_use = sorted(folder.glob("[!.]*"), key=lambda path: path.stat().st_mtime, reverse=True)
            for path in by_use[KEPT_KEYS:]:
                _remove(path)
    except OSError as error:
        fault = f"the outputs of {stage} cannot be kept ({error.strerror})"
        return [Problem(str(FOLDER), fault, "make room; until then the stage computes them again", lost=False)]
    return []


def restore_outputs(stage: str, key: str, roots: Mapping[str, Path]) -> Restored | None:
    """Put kept files back to where they were written, or to other roots; None if none are kept here."""
    with suppress(PermissionError), _locked(stage) as folder:
        kept = folder / key
        if not kept.is_dir():
            return None
        os.utime(kept)
        written = []
        for name, root in roots.items():
            kept_root = kept / name
            files = [kept_root] if kept_root.is_file() else filter(Path.is_file, kept_root.rglob("*"))
            for file in sorted(files):
                target = root / file.relative_to(kept_root)
                with atomic(target) as part:
                    shutil.copyfile(file, part)
                written.append(target)
        return Restored(written, [Problem(*each) for each in json.loads((kept / PROBLEMS).read_text(encoding="utf-8"))])
    return None


@contextmanager
def _locked(stage: str) -> Iterator[Path]:
    """The folder of a stage, which no other process uses meanwhile, without what killed ones left half-done."""
    folder = project_root() / FOLDER / stage
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        for path in folder.glob(".*/"):
            shutil.rmtree(path)
        yield folder


def _remove(path: Path) -> None:
    """Remove a folder as a whole: under its name it is never half there."""
    if path.exists():
        hidden = path.with_name(f".{uuid.uuid4().hex}")
        path.rename(hidden)
        shutil.rmtree(hidden)
