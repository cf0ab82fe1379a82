"""Which files of a folder are models."""

import re
from collections.abc import Collection
from pathlib import Path

from lib.core.errors import EarshotError
from lib.models.description import description_file


def model_files(path: str | Path) -> list[Path]:
    """The checkpoint at a path, or all checkpoints (*.pt) of a folder. Raises EarshotError if there are none."""
    path = Path(path)
    files = sorted(path.glob("*.pt")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise EarshotError(path, "holds no model (*.pt)", "run the train stage first, or give --model FILE")
    return files


def remove_other_models(path: str | Path, written: Collection[Path]) -> None:
    """Remove models that an earlier training wrote beside or as `path`, except those that were written now."""
    path = Path(path)
    name = re.compile(re.escape(path.stem) + r"(-f\d+)?(-e\d+)?" + re.escape(path.suffix))
    for file in path.parent.iterdir():
        if name.fullmatch(file.name) and file not in written:
            file.unlink()
            description_file(file).unlink(missing_ok=True)
