"""Outputs of a stage, kept by what they are computed from: what was computed once is not computed again.

DVC starts a stage whenever a file that it depends on has changed, be it a comment; and it removes its outputs first. A
stage that finds its key here takes the outputs back instead.
"""

import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

from lib.core.files import atomic, project_root

FOLDER = Path(".cache/outputs")
KEPT = 10
"""Keys of a stage whose outputs are kept: those that were used last."""


def keep_outputs(stage: str, key: str, roots: Mapping[str, Path], files: list[Path]) -> None:
    """Keep files that a stage wrote.

    Args:
        stage: its name.
        key: digest of all that the files depend on.
        roots: name -> folder or file; each of the files is one of these, or lies in one.
        files: what was written.
    """
    folder = _folder(stage)
    part = folder / f".{uuid.uuid4().hex}"
    for name, root in roots.items():
        for file in files:
            if file.is_relative_to(root):
                target = part / name / file.relative_to(root)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
    shutil.rmtree(folder / key, ignore_errors=True)
    part.rename(folder / key)
    by_use = sorted(folder.glob("[!.]*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in by_use[KEPT:]:
        shutil.rmtree(path, ignore_errors=True)


def restore_outputs(stage: str, key: str, roots: Mapping[str, Path]) -> list[Path]:
    """Put kept files back to where they were written, or to other roots; returns their paths, none if none are kept."""
    kept = _folder(stage) / key
    if not kept.is_dir():
        return []
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
    return written


def _folder(stage: str) -> Path:
    folder = project_root() / FOLDER / stage
    folder.mkdir(parents=True, exist_ok=True)
    return folder
