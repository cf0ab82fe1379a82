"""External model runs: their predictions were made elsewhere, by a model that need not be ours."""

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any

from lib.core.console import show_problems
from lib.core.errors import EarshotError, SettingsError
from lib.core.files import printable
from lib.core.locks import sole_writer
from lib.core.wording import counted, shortened
from lib.formats.data_sets import DataSet
from lib.results.external_recordings import update_recordings
from lib.results.manifest import ExternalRun, Manifest, manifest_of_predictions
from lib.results.prediction_writer import PredictionWriter, WriteCounts
from lib.results.predictions import Prediction, as_json, fault_of
from lib.results.results_store import ResultsStore, earlier_results
from lib.sound.classes import LABEL_FIELDS, class_label
from lib.sound.labels import RESULTS_FILE
from lib.sound.recordings import Recordings
from lib.tracking.model_runs.async_job import Report

SHOWN_FAULTS = 20
"""Of predictions, in an error."""
WAIT_SECONDS = 120.0
"""How long to wait for another process that writes to the same run; a million predictions take less."""


def create_run(folder: str | Path, data_set: DataSet, manifest: Manifest, recordings: Iterable[str] | None) -> None:
    """Make a results store that holds recordings of a data set, all of them by default, and no predictions.

    Recordings that cannot be read are shown. Raises SettingsError if the data set has no recording of such a name, and
    EarshotError if the folder holds results.
    """
    names = list(data_set.recordings if recordings is None else recordings)
    if unknown := sorted({str(name) for name in names if name not in data_set.recordings}):
        raise SettingsError("recordings", f"are not in the data set: {shortened(unknown)}", "correct them")
    with sole_writer(Path(folder) / RESULTS_FILE):
        if earlier_results(Path(folder)).manifests:
            raise EarshotError(folder, "holds results already", "give another folder, or remove it")
        with ResultsStore(folder, manifest) as store:
            show_problems(update_recordings(store, {name: data_set.recordings[name] for name in names}))


def external_manifest(
    classes: Iterable[str | Mapping[str, str]],
    name: str,
    model_id: str,
    metadata: Mapping[str, Any] | None,
    all_recordings: bool,
) -> Manifest:
    """The manifest of a run, see ModelRun.create and ExternalRun. Raises SettingsError if one cannot be used."""
    entries = [_class_entry(each) for each in classes]
    names = [entry["name"] for entry in entries]
    if not names or len(set(names)) < len(names) or not all(names):
        raise SettingsError("classes", "need names, each once", "correct them")
    for argument, value in {"name": name, "model_id": model_id}.items():
        if not isinstance(value, str) or printable(value) != value:
            raise SettingsError(f"{argument} = {value!r}", "must be a text without control characters")
    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, Mapping) or as_json(metadata) is None:
        raise SettingsError("metadata", "must be a mapping that JSON can hold, with texts as keys")
    run = ExternalRun(model_id=model_id, name=name, metadata=dict(metadata), all_recordings=all_recordings)
    return manifest_of_predictions(entries, run)


def _class_entry(given: str | Mapping[str, str]) -> dict[str, str]:
    entry = {"name": given} if isinstance(given, str) else given
    if not isinstance(entry, Mapping) or not all(isinstance(text, str) for text in entry.values()):
        raise SettingsError(f"class {given!r}", "must be a name, or a mapping of name, code, alt_name, alt_code")
    return {field: class_label(entry.get(field, "")) for field in LABEL_FIELDS.values()}


class ExternalRunWriter:
    """Writes predictions into an external run; several threads and processes may, one after another.

    Args:
        folder: of the run.
        manifest: of its results, which has an external_run.
        recordings: of the data set.
    """

    def __init__(self, folder: Path, manifest: Manifest, recordings: Recordings) -> None:
        self._folder, self._manifest, self._recordings = folder, manifest, recordings
        self._lock, self._are_recordings_current = threading.Lock(), False

    def close(self) -> None:
        if "_store" in self.__dict__:
            self._store.close()

    @cached_property
    def _store(self) -> ResultsStore:
        """Kept open, since a new connection compiles all statements anew, which takes longer than a small batch."""
        return ResultsStore(self._folder, self._manifest)

    def write(self, predictions: Sequence[Prediction], update: bool, batch_size: int, report: Report) -> WriteCounts:
        """Write predictions batch by batch, see ModelRun.predict; report: told how many batches are written.

        Raises EarshotError, with a line for each of the first faults, if a prediction cannot be stored: then none is.
        """
        n_processed, ids = 0, (each.reference_id for each in predictions if isinstance(each, Prediction))
        names = {name for name in ids if isinstance(name, str) and name in self._recordings}
        with self._exclusive_store(names) as store:
            self._check_predictions(predictions, names)
            # A batch of few recordings touches few pages of the file; those of one recording keep their order.
            predictions = sorted(predictions, key=attrgetter("reference_id"))
            writer = PredictionWriter(store)
            for done, start in enumerate(range(0, len(predictions), batch_size), 1):
                n_processed += writer.write(predictions[start : start + batch_size], update).processed
                report(done)
        return WriteCounts(n_processed, len(predictions) - n_processed)

    def update_recordings(self) -> None:
        """Look which recordings are new, were replaced or cannot be read any more, unless this writer has."""
        with self._exclusive_store([]):
            pass

    @contextmanager
    def _exclusive_store(self, names: Collection[str]) -> Iterator[ResultsStore]:
        """The store for this writer alone, with the recordings as they are now.

        names: of recordings of the data set that are to be in it, whether or not the run takes all.
        """
        with self._lock, sole_writer(self._folder / RESULTS_FILE, WAIT_SECONDS):
            store, run = self._store, self._manifest.external_run
            try:
                missing = {*names} - self._readable_names(names)
                if not self._are_recordings_current:
                    takes_all = run is not None and run.all_recordings
                    missing |= self._recordings.keys() if takes_all else store.recordings().keys()
                if missing:
                    files = {name: path for name, path in self._recordings.items() if name in missing}
                    show_problems(update_recordings(store, files))
                self._are_recordings_current = True
                yield store
            finally:
                store.connection.rollback()  # what an error left half done

    def _readable_names(self, names: Collection[str]) -> set[str]:
        """Those of some recordings that could be read."""
        return {name for name, result in self._store.recordings(names).items() if result.is_ok}

    def _check_predictions(self, predictions: Sequence[Prediction], names: Collection[str]) -> None:
        classes, recordings = self._manifest.class_list, self._readable_names(names)
        faults = ((number, fault_of(each, classes, recordings)) for number, each in enumerate(predictions))
        if lines := [f"prediction {number}: {fault}" for number, fault in faults if fault]:
            fault = f"{len(lines):,} of {counted(len(predictions), 'prediction')} cannot be stored, so none was"
            raise EarshotError(self._folder, fault, "correct them", causes=lines[:SHOWN_FAULTS])
