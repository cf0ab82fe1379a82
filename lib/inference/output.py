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
from typing import Any, TextIO

from lib.digests import digest_known_file
from lib.errors import DataSetError, EarshotError
from lib.files import atomic, printable, write_text
from lib.inference import sorting
from lib.inference.label_formats import LABEL_FORMATS, Labelled, Scheme
from lib.inference.labels import Label
from lib.inference.manifest import difference, manifest_key, manifest_text, read_manifest

SCORE_COLUMNS = ["recording", "name", "start_time", "end_time", "score"]
RECORDING_COLUMNS = ["recording", "path", "seconds", "status", "reason", "labels", "settings", "files", "key"]
"""status: `ok`, `failed`, or `pending` while its files are being replaced; reason: why it failed, or what is odd about
it; labels: their number; settings: digest of the manifest that it was made by; files: digest of what the label files
depend on besides the labels, empty while these are being replaced; key: digest of all that the labels depend on."""

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
        return label_table(self.folder, name)

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

    def is_whole(self, row: Row) -> bool:
        """Whether all that was found in a row's recording stands in the folder."""
        there = all(path.is_file() for path in self.found(row["recording"]))
        return row["status"] == "failed" or (row["status"] == "ok" and there)

    def write_labels(self, name: str, labels: Iterable[Label]) -> int:
        """Keep the labels of a recording; returns their number."""
        with _opened(self.labels(name)) as file:
            return sorting.write_rows(file, labels)

    def write_label_files(self, name: str, path: Path, seconds: float, known: bool) -> None:
        """Write a recording's label files. known: what formats that are not wanted (any more) have, was made here."""
        for key, file in self.label_files(name).items():
            if key in self.formats:
                labelled = Labelled(name, path, seconds, read_labels(self.folder, name))
                LABEL_FORMATS[key].write(file, [labelled], self.scheme)
            elif known:
                file.unlink(missing_ok=True)

    def join(self, rows: list[Row], manifest: dict[str, Any]) -> None:
        """Write the files that tell of all recordings together, in place of those of an earlier run.

        The manifest lists the formats that are there, so it comes after those that go and before those that come.
        """
        names = [row["recording"] for row in rows if row["status"] == "ok"]
        scores, reasons = self.folder / "scores.csv", self.folder / "occurrences.csv"
        for path in (scores, reasons, *self._together(set(self._formats_before()) - set(self.formats))):
            path.unlink(missing_ok=True)
        write_text(self.folder / "manifest.yaml", manifest_text(manifest))
        _join(scores, SCORE_COLUMNS, map(self.scores, names))
        if self.places:
            from lib.occurrence.filter import REASON_COLUMNS

            _join(reasons, REASON_COLUMNS, map(self.reasons, names))
        for key, one in LABEL_FORMATS.items():
            if one.together and key in self.formats:
                one.write(self.folder / one.together, self._labelled(rows), self.scheme)

    def _labelled(self, rows: list[Row]) -> Iterator[Labelled]:
        for row in rows:
            if row["status"] == "ok":
                name = row["recording"]
                yield Labelled(name, Path(row["path"]), float(row["seconds"]), read_labels(self.folder, name))

    def _formats_before(self) -> list[str]:
        return read_manifest(self.folder).get("infer", {}).get("formats", [])

    def _together(self, formats: set[str]) -> list[Path]:
        """The files of these formats that hold the labels of all recordings."""
        return [self.folder / one.together for key, one in LABEL_FORMATS.items() if one.together and key in formats]

    def check(self, recordings: dict[str, Path], known: dict[str, Row], others: dict[str, Row], manifest: dict) -> None:
        """Raise EarshotError if a file of somebody else would be overwritten, or results of different kinds be mixed.

        known: rows of recordings that the folder holds; others: those of them that stay, though they are not among
        these recordings.
        """
        new = sorted(set(recordings) - set(known))
        new = [name for name in new if not any(path.exists() for path in self.found(name))]
        written = [path for name in new for key, path in self.label_files(name).items() if key in self.formats]
        for path in (*written, *self._together(set(self.formats) - set(self._formats_before()))):
            if path.exists():
                raise EarshotError(f"{path}: was not made here and would be overwritten; give another --output")
        strangers = [row["settings"] for row in others.values() if row["settings"] != manifest_key(manifest)]
        if strangers:
            before = read_manifest(self.folder)
            told = bool(before) and manifest_key(before) == strangers[0]
            made = difference(before, manifest) if told else "another model or other settings"
            fault = f"holds results of {len(strangers)} other recordings, made with {made}"
            raise EarshotError(f"{self.folder}: {fault}; give another --output")

    def check_names(self, recordings: dict[str, Path], known: dict[str, Row]) -> None:
        """Raise EarshotError if the folder holds results of another recording of the same name, which still exists."""
        for name in sorted(set(recordings) & set(known)):
            before, now = Path(known[name]["path"]), recordings[name]
            if before.is_file() and not before.samefile(now) and digest_known_file(before) != digest_known_file(now):
                fault = f"holds results of {before}, which has the same name as {printable(str(now))}"
                raise EarshotError(f"{self.folder}: {fault}; give another --output, or analyze both at once")


def label_table(folder: str | Path, name: str) -> Path:
    """Where the labels of a recording are kept, whatever the formats that they are written in besides."""
    return Path(folder) / "labels" / f"{name}.csv"


def read_labels(folder: str | Path, name: str) -> Iterator[Label]:
    """The labels of a recording, in the order of start and class. Raises DataSetError."""
    path = label_table(folder, name)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            yield from sorting.read_rows(file)
    except (OSError, ValueError, TypeError, csv.Error) as error:
        action = "remove it and run infer again"
        raise DataSetError(f"{path}: is no table of labels as infer writes them ({error}); {action}") from None


def pending(name: str, path: str) -> Row:
    """The row of a recording whose files are not to be trusted: it goes before the first of them is touched."""
    return dict.fromkeys(RECORDING_COLUMNS, "") | {"recording": name, "path": path, "status": "pending"}


def read_rows(path: Path) -> dict[str, Row]:
    """The last row of each recording in a recordings.csv, without a line that a killed run left unfinished."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if set(row) == set(RECORDING_COLUMNS)]
    except (FileNotFoundError, UnicodeDecodeError, csv.Error):
        return {}
    return {row["recording"]: row for row in rows if None not in row.values()}


@contextmanager
def journal(path: Path, rows: Iterable[Row]) -> Iterator[Callable[[Row], object]]:
    """Make recordings.csv of these rows, and yield a function that adds one at once."""
    write_rows(path, rows)
    with path.open("a", encoding="utf-8", newline="", buffering=1) as file:
        yield csv.DictWriter(file, RECORDING_COLUMNS, lineterminator="\n").writerow


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    with _opened(path) as file:
        writer = csv.DictWriter(file, RECORDING_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    with atomic(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        yield file


def _join(path: Path, columns: list[str], pieces: Iterable[Path]) -> None:
    with atomic(path) as part, part.open("wb") as joined:
        joined.write((",".join(columns) + "\n").encode())
        for piece in pieces:
            with piece.open("rb") as content:
                shutil.copyfileobj(content, joined)
