"""Files for people and other programs, written from a results store into its folder.

Label files of the wanted formats; recordings.csv, what became of each recording; occurrences.csv, why classes were kept
or dropped, where a place was set; manifest.yaml.
"""

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lib.core.code_digest import digest_code
from lib.core.csv_files import write_csv
from lib.core.digests import digest_of
from lib.core.errors import EarshotError
from lib.core.files import fitting_name, write_text
from lib.formats import WRITERS, LabelScheme
from lib.occurrence.occurrence_filter import Reason
from lib.results.csv_results import has_csv_results
from lib.results.results_store import EarlierResults, RecordingResult, ResultsStore
from lib.sound.labels import RECORDING_COLUMNS, RECORDINGS_FILE

MANIFEST_FILE, OCCURRENCES_FILE = "manifest.yaml", "occurrences.csv"
AT_ONCE = 1000
"""Recordings whose label files are replaced between two commits."""


@dataclass(frozen=True)
class LabelFiles:
    """The label files of a folder.

    Args:
        folder: that of the results store.
        formats: that are wanted.
        formats_before: of which earlier runs may have left files.
        scheme: what classes are called in them.
    """

    folder: Path
    formats: list[str]
    formats_before: Collection[str]
    scheme: LabelScheme

    def check_free(self, recordings: Iterable[str], earlier: EarlierResults) -> None:
        """Raise EarshotError if a file that earlier runs did not write would be overwritten.

        Args:
            recordings: names of those to be analyzed.
            earlier: what the folder holds.
        """
        new_formats = set(self.formats) - set(self.formats_before)
        of_known = new_formats if earlier.manifests else []  # without them, it is not known what was written
        paths = list(self._together(new_formats).values())
        for name in recordings:
            paths += self._each(name, of_known if name in earlier.recordings else self.formats).values()
        if not earlier.manifests and not has_csv_results(self.folder):
            table, *others = (self.folder / name for name in (RECORDINGS_FILE, MANIFEST_FILE, OCCURRENCES_FILE))
            # Where only the store was removed, the rest was made here.
            paths = [] if _first_line(table) == ",".join(RECORDING_COLUMNS) else [table, *others, *paths]
        for path in paths:
            if path.exists():
                fault = "was not made here and would be overwritten"
                raise EarshotError(path, fault, "remove it, or give another --output")

    def update(self, store: ResultsStore, results: Collection[RecordingResult]) -> None:
        """Write the label files of recordings that are missing, or that would be different now.

        Those of recordings that failed are removed. The store has no note of files while they are being replaced, so
        that a killed run leaves none that are wrong.
        """
        for result in results:
            if not result.is_ok and result.label_files:
                self.remove(result.name)
                store.note_label_files(result.name, "")
        stale = [result for result in results if result.is_ok and not self._are_current(result)]
        for start in range(0, len(stale), AT_ONCE):
            part = stale[start : start + AT_ONCE]
            if any(result.label_files for result in part):
                for result in part:
                    store.note_label_files(result.name, "")
                store.commit()
            for result in part:
                self._write(store, result)
                store.note_label_files(result.name, self._digest(result))
            store.commit()

    def _are_current(self, result: RecordingResult) -> bool:
        paths = self._each(result.name, self.formats).values()
        return result.label_files == self._digest(result) and all(path.is_file() for path in paths)

    def _digest(self, result: RecordingResult) -> str:
        """Digest of what the label files of a recording are made of, besides its labels."""
        has_paths = any(WRITERS[name].has_paths for name in self.formats)
        return digest_of([self._made_of, os.path.abspath(result.path)]) if has_paths else self._made_of

    @cached_property
    def _made_of(self) -> str:
        code = digest_code(*(WRITERS[name].write for name in self.formats))
        return digest_of([self.formats, self.scheme.shown, self.scheme.escape_formulas, code])

    def _write(self, store: ResultsStore, result: RecordingResult) -> None:
        self.remove(result.name, set(self.formats_before) - set(self.formats))
        for name, path in self._each(result.name, self.formats).items():
            WRITERS[name].write(path, [store.recording_labels(result)], self.scheme)

    def remove(self, recording: str, formats: Iterable[str] | None = None) -> None:
        """Remove a recording's label files of some formats, by default all that earlier runs wrote."""
        for path in self._each(recording, self.formats_before if formats is None else formats).values():
            path.unlink(missing_ok=True)

    def together(self) -> dict[str, Path]:
        """The file of all recordings in each wanted format that has one."""
        return self._together(self.formats)

    def remove_together(self) -> None:
        """Remove the files of all recordings that earlier runs wrote in formats that are not wanted."""
        for path in self._together(set(self.formats_before) - set(self.formats)).values():
            path.unlink(missing_ok=True)

    def _each(self, recording: str, formats: Iterable[str]) -> dict[str, Path]:
        """The file of a recording in each of these formats that has one for each recording."""
        paths = {}
        for name in formats:
            if each := WRITERS[name].each:
                subfolder, _, ending = each.partition("{}")
                path = self.folder / f"{subfolder}{recording}"
                paths[name] = path.with_name(fitting_name(path.name, ending))
        return paths

    def _together(self, formats: Iterable[str]) -> dict[str, Path]:
        """The file of all recordings in each of these formats that has one."""
        return {name: self.folder / together for name in formats if (together := WRITERS[name].together)}


def write_tables(store: ResultsStore, results: Collection[RecordingResult], label_files: LabelFiles) -> None:
    """Write the files about all recordings, unless they are there and would be the same.

    These are recordings.csv, label files, occurrences.csv where a place was set, and manifest.yaml. The latter is
    written last, with a digest of what all of them were made of.
    """
    folder, together = label_files.folder, label_files.together()
    table, occurrences, manifest = (folder / name for name in (RECORDINGS_FILE, OCCURRENCES_FILE, MANIFEST_FILE))
    label_files.remove_together()
    if not store.manifest.occurrences and _first_line(occurrences) == ",".join(Reason._fields):
        occurrences.unlink()
    paths = [table, *together.values(), *([occurrences] if store.manifest.occurrences else [])]
    made_of = [store.digest(), digest_code(write_tables), label_files.scheme.escape_formulas]
    text = f"{store.manifest.text()}tables: {digest_of(made_of)}\n"
    if all(path.is_file() for path in [*paths, manifest]) and manifest.read_bytes() == text.encode():
        return
    manifest.unlink(missing_ok=True)  # so that a killed run does not leave it with files of other results
    for name, path in together.items():
        labels = (store.recording_labels(result) for result in results if result.is_ok)
        WRITERS[name].write(path, labels, label_files.scheme)
    rows = (
        [result.name, result.path, *_duration_and_status(result.seconds), result.reason, result.n_labels]
        for result in results
    )
    write_csv(table, RECORDING_COLUMNS, rows)
    if store.manifest.occurrences:
        reasons = (Reason(*reason) for result in results for reason in store.occurrences(result.name))
        texts = (reason._replace(value="" if reason.value is None else f"{reason.value:.6g}") for reason in reasons)  # type: ignore[arg-type]
        write_csv(occurrences, Reason._fields, texts)
    write_text(manifest, text)


def _first_line(file: Path) -> str:
    try:
        with file.open("rb") as content:
            return content.readline().decode(errors="replace").strip()
    except OSError:
        return ""


def _duration_and_status(seconds: float | None) -> tuple[str, str]:
    return ("", "failed") if seconds is None else (f"{seconds:.6g}", "ok")
