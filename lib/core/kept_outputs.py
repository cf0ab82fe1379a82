"""Outputs of a stage, kept by what they are computed from: what was computed once is not computed again.

DVC starts a stage whenever a file that it depends on has changed, be it a comment. A stage that finds its key here
takes the outputs back instead. Experiments of a project share what is kept. It is only a cache: what is damaged in it,
or cannot be reached, is computed again.
"""

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from lib.core.digests import digest_file
from lib.core.errors import Problem
from lib.core.files import atomic, project_root, write_json

FOLDER = Path(".cache/outputs")
KEPT_KEYS = 10
"""Keys of a stage whose outputs are kept: those that were used last."""
CONTENTS = "contents.json"
"""Lists the kept files with their digests, `files`, and `problems`."""


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
                digests = {}
                for name, root in roots.items():
                    for file in files:
                        if file.is_relative_to(root):
                            place = Path(name, file.relative_to(root))
                            (part / place).parent.mkdir(parents=True, exist_ok=True)
                            shutil.copyfile(file, part / place)
                            digests[place.as_posix()] = digest_file(part / place)
                write_json(part / CONTENTS, {"files": digests, "problems": problems})
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
    """Put kept files back to where they were written, or to other roots; None if none are kept here, or not whole."""
    with ExitStack() as stack:
        try:
            kept = stack.enter_context(_locked(stage)) / key
            files, problems = _contents(kept)
            os.utime(kept)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        written = []
        for file in files:
            name, *rest = file.relative_to(kept).parts
            written.append(roots[name].joinpath(*rest))
            with atomic(written[-1]) as part:
                shutil.copyfile(file, part)
        return Restored(written, problems)


def _contents(kept: Path) -> tuple[list[Path], list[Problem]]:
    """The files that are kept under a key, and the problems. Raises OSError and others if they are not whole."""
    content = json.loads((kept / CONTENTS).read_text(encoding="utf-8"))
    files = {kept / place: digest for place, digest in content["files"].items()}
    if any(digest_file(file) != digest for file, digest in files.items()):
        raise ValueError("damaged")
    return list(files), [Problem(*each) for each in content["problems"]]


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
