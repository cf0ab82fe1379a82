"""Folders below which requests may name files, and nothing else."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from lib.core.errors import SettingsError
from lib.core.files import walk_files

NOT_IN_PATHS = re.compile(r"[\x00-\x1f\x7f\\]|^[A-Za-z]:")
"""Control characters, and what is a separator or a drive on Windows: no path of ours has any."""


class ServedFolder:
    """A folder and all below it, except hidden files and links that lead out of it.

    Args:
        path: the folder.
        setting: that names it, for an error.

    Raises SettingsError if there is no such folder.
    """

    def __init__(self, path: str, setting: str) -> None:
        self.path = Path(path)
        self.root = self.path.resolve()
        if not self.root.is_dir():
            raise SettingsError(f"{setting} = {path!r}", "no such folder", "correct it")

    def find(self, path: str) -> Path | None:
        """The file or folder that a request names by its path within this folder; "" is the folder itself.

        None if there is none, or if the path leads out of the folder in whatever way: the two look alike to clients.
        """
        if NOT_IN_PATHS.search(path) or path.startswith("/"):
            return None
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if any(part.startswith(".") for part in parts):  # also ..
            return None
        try:
            place = self.root.joinpath(*parts).resolve(strict=True)
        except (OSError, RuntimeError, ValueError):  # ValueError: names that no file can have
            return None
        return place if place.is_relative_to(self.root) else None

    def holds(self, path: Path) -> bool:
        """Whether a file lies below this folder, whatever links lead to it."""
        return Path(os.path.realpath(path)).is_relative_to(self.root)

    def files(self, suffix: str) -> Iterator[str]:
        """Paths within this folder of all files of that suffix below it."""
        for file in walk_files(self.root, lambda folder, _: not self.holds(folder)):
            if file.suffix == suffix and self.holds(file):
                yield file.relative_to(self.root).as_posix()
