"""Safe paths for the entries of an archive or a bucket: never outside their folder, never one over another."""

import unicodedata
from pathlib import Path, PureWindowsPath

from lib.core.errors import EarshotError
from lib.core.files import LONGEST_NAME, printable

LONGEST_PATH = 1024
"""Bytes of an entry's name, folders included."""


class EntryPlaces:
    """The paths given to the entries of one source so far.

    Args:
        source: the subject of errors.
        folder: the target.
        remedy: the end of errors.
    """

    def __init__(self, source: object, folder: Path, remedy: str) -> None:
        self.folder = folder
        self._source, self._remedy = source, remedy
        self._claimed: dict[str, tuple[str, bool]] = {}  # by name without case and Unicode form

    def place(self, name: str, is_folder: bool) -> Path:
        """The path of an entry. Its folder, or the folder that it is, is created.

        Raises EarshotError if the name leads out of the folder, is invalid, or is the same as another's on some disk.
        """
        path, shown = name.rstrip("/") if is_folder else name, printable(name[:100])
        parts = path.split("/")
        while parts and parts[0] == "." and (is_folder or len(parts) > 1):  # as tar writes it
            del parts[0]
        if path.startswith(("/", "\\")) or PureWindowsPath(path).drive:
            raise self._refused(f"holds a file with an absolute path ({shown})")
        if ".." in parts or "\\" in path:
            raise self._refused(f"holds a file that would leave the folder ({shown})")
        encoded = [len(part.encode("utf-8", "surrogateescape")) for part in parts]
        too_long = max(encoded, default=0) > LONGEST_NAME or sum(encoded) + len(parts) > LONGEST_PATH
        if too_long or printable(path) != path or any(part in ("", ".") for part in parts):
            raise self._refused(f"holds a file whose name cannot be used ({shown})")
        for i in range(1, len(parts) + 1):
            self._claim("/".join(parts[:i]), is_folder or i < len(parts))
        target = self.folder.joinpath(*parts)
        (target if is_folder else target.parent).mkdir(parents=True, exist_ok=True)
        return target

    def _claim(self, path: str, is_folder: bool) -> None:
        """Reserve a name. Raises EarshotError if it is the same as another's on some disk."""
        key = unicodedata.normalize("NFC", path).casefold()
        if (earlier := self._claimed.get(key)) and not (is_folder and earlier == (path, True)):
            raise self._refused(f"holds two files of one name ({path})")
        self._claimed[key] = path, is_folder

    def _refused(self, fault: str) -> EarshotError:
        return EarshotError(self._source, fault, self._remedy)
