"""Where models are found."""

from pathlib import Path

from lib.errors import EarshotError


def model_files(path: str | Path) -> list[Path]:
    """The checkpoints that a path means: itself, or all *.pt of a folder. Raises EarshotError if there are none."""
    path = Path(path)
    files = sorted(path.glob("*.pt")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise EarshotError(f"{path}: holds no model (*.pt); run the train stage first, or give --model FILE")
    return files
