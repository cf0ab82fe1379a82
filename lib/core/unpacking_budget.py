"""How much an archive may unpack to, together with the archives nested in it."""

from dataclasses import dataclass
from pathlib import Path

from lib.core.errors import EarshotError


@dataclass(frozen=True)
class Limits:
    """Limits of an archive together with the archives nested in it.

    Args:
        entries: files and folders.
        total_bytes: of all files.
        ratio: of unpacked to packed bytes; it applies above free_bytes.
        free_bytes: unpacked bytes that are allowed whatever the ratio.
    """

    entries: int = 10_000
    total_bytes: int = 32 * 2**30
    ratio: float = 100.0
    free_bytes: int = 64 * 2**20


USUAL_LIMITS = Limits()


class UnpackingBudget:
    """What was unpacked so far. Nested archives count together, since each might be a bomb.

    Args:
        n_bytes: packed size of the archive, or of all files that may be archives.
        limits: of all archives together.
    """

    def __init__(self, n_bytes: int, limits: Limits = USUAL_LIMITS) -> None:
        self.limits = limits
        self.n_archives = self.n_entries = self.n_bytes = 0
        self._most = min(limits.total_bytes, max(limits.free_bytes, int(limits.ratio * n_bytes)))

    @classmethod
    def of(cls, path: Path, limits: Limits = USUAL_LIMITS) -> "UnpackingBudget":
        """The budget of a file, or of all files in a folder."""
        files = path.rglob("*") if path.is_dir() else [path]
        return cls(sum(file.stat().st_size for file in files if file.is_file()), limits)

    def add_entry(self, archive: Path) -> None:
        """Count a file or folder of an archive. Raises EarshotError if there are too many."""
        self.check_entries(archive, 1)
        self.n_entries += 1

    def check_entries(self, archive: Path, n: int) -> None:
        """Raise EarshotError if n more entries exceed the limit."""
        if self.n_entries + n > self.limits.entries:
            raise self._refused(archive, "holds", f"more than {self.limits.entries:,} entries")

    def add_bytes(self, archive: Path, n: int) -> None:
        """Count unpacked bytes. Raises EarshotError if they exceed a limit."""
        self.check_bytes(archive, n)
        self.n_bytes += n

    def check_bytes(self, archive: Path, n: int) -> None:
        """Raise EarshotError if n more bytes exceed a limit."""
        if self.n_bytes + n > self.limits.total_bytes:
            raise self._refused(archive, "unpacks", f"to more than {self.limits.total_bytes / 1e9:.3g} GB")
        if self.n_bytes + n > self._most:
            whose = "its" if self.n_archives == 1 else "their"
            raise self._refused(archive, "unpacks", f"to more than {self.limits.ratio:g} times {whose} size")

    def _refused(self, archive: Path, verb: str, what: str) -> EarshotError:
        others = "" if self.n_archives == 1 else ", with the archives unpacked before it,"
        return EarshotError(archive, f"{verb}{others} {what}", "nothing was unpacked")
