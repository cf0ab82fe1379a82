"""Where entries of an archive, or objects of a bucket, go in a folder: never outside of it, nor over each other."""

import unicodedata
from pathlib import Path, PureWindowsPath

from lib.core.errors import EarshotError
from lib.core.files import LONGEST_NAME, printable

LONGEST_PATH = 1024
"""Bytes of an entry's name, folders included."""


class EntryPlaces:
    """The files and folders that entries of one source have become so far.

    Args:
        source: what holds the entries, for errors.
        folder: where they go.
        remedy: what an error says last.
    """

    def __init__(self, source: object, folder: Path, remedy: str) -> None:
        self.folder = folder
        self._source, self._remedy = source, remedy
        self._claimed: dict[str, tuple[str, bool]] = {}  # by the name as the most forgetful disk keeps it

    def place(self, name: str, is_folder: bool) -> Path:
        """Where an entry goes; the folder that it is in, or is, is made.

        Raises EarshotError if its name leads out of the folder, cannot be used, or is another's on some disk.
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
        """Take a name for a file or folder. Raises EarshotError if it is another's on some disk."""
        key = unicodedata.normalize("NFC", path).casefold()
        if (earlier := self._claimed.get(key)) and not (is_folder and earlier == (path, True)):
            raise self._refused(f"holds two files of one name ({path})")
        self._claimed[key] = path, is_folder

    def _refused(self, fault: str) -> EarshotError:
        return EarshotError(self._source, fault, self._remedy)
