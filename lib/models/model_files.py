"""Which files of a folder are models."""

import re
from collections.abc import Collection, Iterable
from pathlib import Path

from lib.core.digests import digest_file
from lib.core.errors import EarshotError
from lib.models.description import description_file


def model_files(path: str | Path) -> list[Path]:
    """The checkpoint at a path, or all checkpoints (*.pt) of a folder. Raises EarshotError if there are none."""
    path = Path(path)
    files = sorted(path.glob("*.pt")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise EarshotError(path, "holds no model (*.pt)", "run the train stage first, or give --model FILE")
    return files


def all_files(path: str | Path) -> dict[str, Path]:
    """Files of a model by path in its folder: all of a folder, or a checkpoint and its description."""
    path = Path(path)
    if path.is_dir():
        return {file.relative_to(path).as_posix(): file for file in sorted(path.rglob("*")) if file.is_file()}
    return {file.name: file for file in sorted({path, description_file(path)}) if file.is_file()}


def model_digests(path: str | Path) -> dict[str, str]:
    """Digest of each checkpoint at a path, by file name. Raises EarshotError if there are none."""
    return {file.name: digest_file(file) for file in model_files(path)}


def check_digests(path: str | Path, digests: Iterable[str]) -> None:
    """Raise EarshotError unless the checkpoints at a path are of these digests: as before they were loaded."""
    if sorted(model_digests(path).values()) != sorted(digests):
        raise EarshotError(path, "was replaced while it was read", "run the same command again")


def remove_other_models(path: str | Path, written: Collection[Path]) -> None:
    """Remove models that an earlier training wrote beside or as `path`, except those that were written now."""
    path = Path(path)
    name = re.compile(re.escape(path.stem) + r"(-f\d+)?(-e\d+)?" + re.escape(path.suffix))
    for file in path.parent.iterdir():
        if name.fullmatch(file.name) and file not in written:
            file.unlink()
            description_file(file).unlink(missing_ok=True)
