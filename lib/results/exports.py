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
from lib.core.digests import digest_file, digest_of
from lib.core.errors import EarshotError, Problem
from lib.core.files import fitting_name, header_line, printable, write_text
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

    def update(self, store: ResultsStore, results: Collection[RecordingResult]) -> list[Problem]:
        """Write the label files of recordings that are missing, or that would be different now.

        Those of recordings that failed are removed. The store has no note of files while they are being replaced, so
        that a killed run leaves none that are wrong. Returns a Problem for each file that a person changed: it stays.
        """
        kept: list[Problem] = []
        for result in results:
            if not result.is_ok and result.label_files:
                kept += self.remove(store, result.name)
                store.note_label_files(result.name, "")
        stale = [result for result in results if result.is_ok and not self._are_current(result)]
        if stale:  # files of two settings are side by side for a while
            (self.folder / MANIFEST_FILE).unlink(missing_ok=True)
        for start in range(0, len(stale), AT_ONCE):
            part = stale[start : start + AT_ONCE]
            paths = {result.name: self._to_write(store, result, kept) for result in part}
            if any(result.label_files for result in part):
                for result in part:
                    store.note_label_files(result.name, "")
            for path in (path for of_result in paths.values() for path in of_result.values()):
                store.note_file(self._name(path), None)
            store.commit()
            for result in part:
                for name, path in paths[result.name].items():
                    WRITERS[name].write(path, [store.recording_labels(result)], self.scheme)
                    store.note_file(self._name(path), digest_file(path))
                store.note_label_files(result.name, self._digest(result))
            store.commit()
        return kept

    def _to_write(self, store: ResultsStore, result: RecordingResult, kept: list[Problem]) -> dict[str, Path]:
        """The files of a recording that are to be written; those of other formats are removed."""
        kept += self.remove(store, result.name, set(self.formats_before) - set(self.formats))
        paths = self._each(result.name, self.formats)
        changed = [name for name, path in paths.items() if self.is_changed(store, path)]
        kept += [_kept(paths[name]) for name in changed]
        return {name: path for name, path in paths.items() if name not in changed}

    def is_changed(self, store: ResultsStore, path: Path) -> bool:
        """Whether a file is not as it was written here."""
        digest = store.digest_of_file(self._name(path))
        return digest is not None and path.is_file() and digest_file(path) != digest

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

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

    def remove(self, store: ResultsStore, recording: str, formats: Iterable[str] | None = None) -> list[Problem]:
        """Remove a recording's label files of some formats, by default all that earlier runs wrote.

        Returns a Problem for each that a person changed: it stays.
        """
        return self._remove(store, self._each(recording, self.formats_before if formats is None else formats).values())

    def _remove(self, store: ResultsStore, paths: Iterable[Path]) -> list[Problem]:
        kept = []
        for path in paths:
            if self.is_changed(store, path):
                kept.append(_kept(path))
            else:
                path.unlink(missing_ok=True)
                store.note_file(self._name(path), None)
        return kept

    def together(self) -> dict[str, Path]:
        """The file of all recordings in each wanted format that has one."""
        return self._together(self.formats)

    def write_together(self, store: ResultsStore, results: Collection[RecordingResult]) -> list[Problem]:
        """Write the files of all recordings; returns a Problem for each that a person changed: it stays."""
        kept = []
        for name, path in self.together().items():
            if self.is_changed(store, path):
                kept.append(_kept(path))
                continue
            store.note_file(self._name(path), None)
            store.commit()
            labels = (store.recording_labels(result) for result in results if result.is_ok)
            WRITERS[name].write(path, labels, self.scheme)
            store.note_file(self._name(path), digest_file(path))
            store.commit()
        return kept

    def remove_together(self, store: ResultsStore) -> list[Problem]:
        """Remove the files of all recordings in formats that are not wanted, but for those that a person changed."""
        return self._remove(store, self._together(set(self.formats_before) - set(self.formats)).values())

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


def _kept(path: Path) -> Problem:
    fault = "was changed by hand, so it stays as it is"
    return Problem(printable(str(path)), fault, "move or remove it, and run infer again, to get new labels", lost=False)


def write_tables(store: ResultsStore, results: Collection[RecordingResult], label_files: LabelFiles) -> list[Problem]:
    """Write the files about all recordings, unless they are there and would be the same.

    These are recordings.csv, label files, occurrences.csv where a place was set, and manifest.yaml. The latter is
    written last, with a digest of what all of them were made of. Returns a Problem for each label file that a person
    changed: it stays.
    """
    folder, together = label_files.folder, label_files.together()
    table, occurrences, manifest = (folder / name for name in (RECORDINGS_FILE, OCCURRENCES_FILE, MANIFEST_FILE))
    kept = label_files.remove_together(store)
    if not store.manifest.occurrences and _first_line(occurrences) == ",".join(Reason._fields):
        occurrences.unlink()
    paths = [table, *together.values(), *([occurrences] if store.manifest.occurrences else [])]
    made_of = [store.digest(), digest_code(write_tables), label_files.scheme.escape_formulas]
    text = f"{store.manifest.text()}tables: {digest_of(made_of)}\n"
    if all(path.is_file() for path in [*paths, manifest]) and manifest.read_bytes() == text.encode():
        return kept
    manifest.unlink(missing_ok=True)  # so that a killed run does not leave it with files of other results
    kept += label_files.write_together(store, results)
    rows = (
        [result.name, result.path, *_duration_and_status(result.seconds), result.reason, result.n_labels]
        for result in results
    )
    write_csv(table, RECORDING_COLUMNS, rows, label_files.scheme.escape_formulas)
    if store.manifest.occurrences:
        reasons = (Reason(*reason) for result in results for reason in store.occurrences(result.name))
        texts = (reason._replace(value="" if reason.value is None else f"{reason.value:.6g}") for reason in reasons)  # type: ignore[arg-type]
        write_csv(occurrences, Reason._fields, texts, label_files.scheme.escape_formulas)
    write_text(manifest, text)
    return kept


def _first_line(file: Path) -> str:
    try:
        return header_line(file)
    except OSError:
        return ""


def _duration_and_status(seconds: float | None) -> tuple[str, str]:
    return ("", "failed") if seconds is None else (f"{seconds:.6g}", "ok")
