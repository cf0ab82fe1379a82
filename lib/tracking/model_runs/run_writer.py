"""Writes predictions into a model run that ModelRun.create made."""

import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from operator import attrgetter
from pathlib import Path

from lib.core.console import show_problems
from lib.core.errors import EarshotError
from lib.core.locks import sole_writer
from lib.core.wording import counted
from lib.results.external_recordings import note_recordings
from lib.results.manifest import Manifest
from lib.results.prediction_writer import PredictionWriter, WriteCounts
from lib.results.predictions import Prediction, fault_of
from lib.results.results_store import ResultsStore
from lib.sound.labels import RESULTS_FILE
from lib.sound.recordings import Recordings
from lib.tracking.model_runs.async_job import Report

SHOWN_FAULTS = 20
"""Of predictions, in an error."""
WAIT_SECONDS = 120.0
"""How long to wait for another process that writes to the same run; a million predictions take less."""


class RunWriter:
    """Writes to the results store of a run; several threads and processes may, one after another.

    Args:
        folder: of the run.
        manifest: of its results, which has an external_run.
        recordings: of the data set.
    """

    def __init__(self, folder: Path, manifest: Manifest, recordings: Recordings) -> None:
        self._folder, self._manifest, self._recordings = folder, manifest, recordings
        self._lock, self._has_noted_recordings = threading.Lock(), False

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
        n_processed, given = 0, (each.reference_id for each in predictions if isinstance(each, Prediction))
        names = {name for name in given if isinstance(name, str) and name in self._recordings}
        with self._noted_recordings(names) as store:
            self._check(predictions, names)
            # A batch of few recordings touches few pages of the file; those of one recording keep their order.
            predictions = sorted(predictions, key=attrgetter("reference_id"))
            writer = PredictionWriter(store)
            for done, start in enumerate(range(0, len(predictions), batch_size), 1):
                n_processed += writer.write(predictions[start : start + batch_size], update).processed
                report(done)
        return WriteCounts(n_processed, len(predictions) - n_processed)

    def note_recordings(self) -> None:
        """Note which recordings are new, were replaced or cannot be read any more, unless that was done."""
        with self._noted_recordings([]):
            pass

    @contextmanager
    def _noted_recordings(self, names: Collection[str]) -> Iterator[ResultsStore]:
        """The store for this writer alone, with the recordings as they are now.

        names: of recordings of the data set that are to be noted, whether or not the run takes all.
        """
        with self._lock, sole_writer(self._folder / RESULTS_FILE, WAIT_SECONDS):
            store, run = self._store, self._manifest.external_run
            try:
                missing = {*names} - self._usable(names)
                if not self._has_noted_recordings:
                    takes_all = run is not None and run.all_recordings
                    missing |= self._recordings.keys() if takes_all else store.recordings().keys()
                if missing:
                    known = {name: path for name, path in self._recordings.items() if name in missing}
                    show_problems(note_recordings(store, known))
                self._has_noted_recordings = True
                yield store
            finally:
                store.connection.rollback()  # what an error left half done

    def _usable(self, names: Collection[str]) -> set[str]:
        """Those of some recordings that could be read."""
        return {name for name, result in self._store.recordings(names).items() if result.is_ok}

    def _check(self, predictions: Sequence[Prediction], names: Collection[str]) -> None:
        classes, recordings = self._manifest.class_list, self._usable(names)
        faults = ((number, fault_of(each, classes, recordings)) for number, each in enumerate(predictions))
        if lines := [f"prediction {number}: {fault}" for number, fault in faults if fault]:
            fault = f"{len(lines):,} of {counted(len(predictions), 'prediction')} cannot be stored, so none was"
            raise EarshotError(self._folder, fault, "correct them", causes=lines[:SHOWN_FAULTS])
