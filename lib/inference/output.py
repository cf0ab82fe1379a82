"""The folder that results of many recordings go to, and what is taken up from it again.

Of each recording it holds what was found, `scores/<recording>.csv` (score of each window and class),
`labels/<recording>.csv` and, if a place is set, `occurrences/<recording>.csv`; and label files of the wanted formats,
which are made of the labels and can be made again. `scores.csv`, `occurrences.csv` and some of the label files hold all
recordings together. `recordings.csv` tells what became of each; it grows by a line whenever a recording is done.
"""

import csv
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lib.digests import digest_known_file
from lib.errors import EarshotError
from lib.files import atomic, printable
from lib.inference.label_formats import LABEL_FORMATS, Labelled, Scheme
from lib.inference.labels import Label

SCORE_COLUMNS = ["recording", "name", "start_time", "end_time", "score"]
RECORDING_COLUMNS = ["recording", "path", "seconds", "status", "reason", "labels", "files", "key"]
"""status: `ok` or `failed`; reason: why it failed, or what is odd about it; labels: their number; files: digest of
what the label files depend on besides the labels; key: digest of all that the labels depend on."""

Row = dict[str, str]


@dataclass(frozen=True)
class Output:
    """A folder, the formats of label files that are wanted in it, and how these are written. places: whether there is a
    place, so that classes are kept or dropped for reasons.
    """

    folder: Path
    formats: list[str]
    scheme: Scheme
    places: bool

    def scores(self, name: str) -> Path:
        return self.folder / "scores" / f"{name}.csv"

    def labels(self, name: str) -> Path:
        return self.folder / "labels" / f"{name}.csv"

    def reasons(self, name: str) -> Path:
        return self.folder / "occurrences" / f"{name}.csv"

    def found(self, name: str) -> list[Path]:
        """The files that hold what was found in a recording."""
        return [self.scores(name), self.labels(name), *([self.reasons(name)] if self.places else [])]

    def label_files(self, name: str) -> dict[str, Path]:
        """A recording's label file in each format, wanted or not, that has one for each recording."""
        return {key: self.folder / one.each.format(name) for key, one in LABEL_FORMATS.items() if one.each}

    def has_label_files(self, name: str) -> bool:
        return all(path.is_file() for key, path in self.label_files(name).items() if key in self.formats)

    def remove(self, name: str) -> None:
        """Remove all files of a recording."""
        for path in (self.scores(name), self.labels(name), self.reasons(name), *self.label_files(name).values()):
            path.unlink(missing_ok=True)

    def write_labels(self, name: str, labels: Iterable[Label]) -> None:
        with _table(self.labels(name)) as writer:
            writer.writerows((one.name, repr(one.start_time), repr(one.end_time), repr(one.score)) for one in labels)

    def read_labels(self, name: str) -> list[Label]:
        with self.labels(name).open(encoding="utf-8", newline="") as file:
            return [Label(text, *map(float, numbers)) for text, *numbers in csv.reader(file)]

    def write_label_files(self, labelled: Labelled, known: bool) -> None:
        """Write a recording's label files. known: what formats that are not wanted (any more) have, was made here."""
        for key, path in self.label_files(labelled.recording).items():
            if key in self.formats:
                LABEL_FORMATS[key].write(path, [labelled], self.scheme)
            elif known:
                path.unlink(missing_ok=True)

    def join(self, rows: list[Row]) -> None:
        """Write the files that hold all recordings together, and remove those that are no longer wanted."""
        names = [row["recording"] for row in rows if row["status"] == "ok"]
        _join(self.folder / "scores.csv", SCORE_COLUMNS, map(self.scores, names))
        reasons = self.folder / "occurrences.csv"
        if self.places:
            from lib.occurrence.filter import REASON_COLUMNS

            _join(reasons, REASON_COLUMNS, map(self.reasons, names))
        else:
            reasons.unlink(missing_ok=True)
        before = self._formats_before()
        for key, one in LABEL_FORMATS.items():
            if one.together and key in self.formats:
                one.write(self.folder / one.together, self._labelled(rows), self.scheme)
            elif one.together and key in before:
                (self.folder / one.together).unlink(missing_ok=True)

    def _labelled(self, rows: list[Row]) -> Iterator[Labelled]:
        for row in rows:
            if row["status"] == "ok":
                name = row["recording"]
                yield Labelled(name, Path(row["path"]), float(row["seconds"]), self.read_labels(name))

    def _formats_before(self) -> list[str]:
        manifest = self.read_manifest()
        return manifest.get("infer", {}).get("formats", []) if isinstance(manifest, dict) else []

    def read_manifest(self) -> Any:
        """What manifest.yaml holds; None if there is none that can be read."""
        try:
            return yaml.safe_load((self.folder / "manifest.yaml").read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            return None

    def check(self, recordings: dict[str, Path], known: dict[str, Row], others: dict[str, Row], manifest: dict) -> None:
        """Raise EarshotError if a file of somebody else would be overwritten, or results of different kinds be mixed.

        known: rows of recordings that the folder holds; others: those of them that stay, though they are not among
        these recordings.
        """
        for name in sorted(set(recordings) - set(known)):
            if self.scores(name).exists() or self.labels(name).exists():
                continue
            for key, path in self.label_files(name).items():
                if key in self.formats and path.exists():
                    raise EarshotError(f"{path}: was not made here and would be overwritten; give another --output")
        if others and self.read_manifest() != manifest:
            fault = f"holds results of {len(others)} other recordings, by another model or with other settings"
            raise EarshotError(f"{self.folder}: {fault}; give another --output")

    def check_names(self, recordings: dict[str, Path], known: dict[str, Row]) -> None:
        """Raise EarshotError if the folder holds results of another recording of the same name, which still exists."""
        for name in sorted(set(recordings) & set(known)):
            before, now = Path(known[name]["path"]), recordings[name]
            if before.is_file() and not before.samefile(now) and digest_known_file(before) != digest_known_file(now):
                fault = f"holds results of {before}, which has the same name as {printable(str(now))}"
                raise EarshotError(f"{self.folder}: {fault}; give another --output, or analyze both at once")


def read_rows(path: Path) -> dict[str, Row]:
    """Rows by recording of a recordings.csv, without a last line that a killed run left unfinished."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if set(row) == set(RECORDING_COLUMNS) and row["key"]]
    except (FileNotFoundError, UnicodeDecodeError, csv.Error):
        return {}
    return {row["recording"]: row for row in rows}


@contextmanager
def journal(path: Path, known: dict[str, Row]) -> Iterator[Callable[[Row], object]]:
    """Yield a function that adds a row to recordings.csv at once."""
    write_rows(path, known.values())
    with path.open("a", encoding="utf-8", newline="", buffering=1) as file:
        yield csv.DictWriter(file, RECORDING_COLUMNS, lineterminator="\n").writerow


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    with _table(path) as writer:
        writer.writerow(RECORDING_COLUMNS)
        writer.writerows([row[column] for column in RECORDING_COLUMNS] for row in rows)


@contextmanager
def _table(path: Path) -> Iterator[Any]:
    with atomic(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        yield csv.writer(file, lineterminator="\n")


def _join(path: Path, columns: list[str], pieces: Iterable[Path]) -> None:
    with atomic(path) as part, part.open("wb") as joined:
        joined.write((",".join(columns) + "\n").encode())
        for piece in pieces:
            with piece.open("rb") as content:
                shutil.copyfileobj(content, joined)
