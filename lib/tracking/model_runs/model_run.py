"""Model runs: one model's predictions on one data set, looked up item by item and matched with the annotations.

A model run is a folder with a results store: one that infer wrote, or one that ModelRun.create made for predictions of
a model that is not ours. The names and meanings are those of Nucleus's ModelRun; nothing talks to a server.
"""

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml

from lib.config.load import get_config
from lib.config.schema import DataSetSettings, DataSettings, TrackingSettings
from lib.core.errors import EarshotError, SettingsError
from lib.core.locks import sole_writer
from lib.core.wording import counted, shortened
from lib.evaluation.matches_store import (
    MATCHES_FILE,
    MatchesStore,
    annotation_digests,
    match_table,
    matches_folder,
    store_matches,
)
from lib.evaluation.run_matching import MatchingRules, rules_of
from lib.formats.data_sets import DataSet, read_data_set, read_test_set
from lib.results.manifest import ExternalRun
from lib.results.prediction_reader import PredictionReader
from lib.results.predictions import Prediction
from lib.results.results_store import ResultsStore
from lib.sound.labels import RESULTS_FILE
from lib.tracking.data_versions import read_data_versions
from lib.tracking.model_runs.async_job import AsyncJob, Report
from lib.tracking.model_runs.external_runs import WAIT_SECONDS, ExternalRunWriter, create_run, external_manifest
from lib.tracking.model_runs.models_by_weights import id_by_weights

if TYPE_CHECKING:
    import pandas as pd

COMMITTED, UNCOMMITTED = "committed", "uncommitted"


class UnknownItem(EarshotError):
    """There is no model run, recording or prediction with that id."""


class ModelRun:
    """A model's predictions on a data set; it can be used in a `with` block, and by several threads.

    Args:
        model_run_id: folder of the model run: what infer wrote, or `create` made.
        dataset_id: the data set: get_config().data for the test set, with decisions applied, as evaluate sees it; else
            a folder or table, or settings with a format and an `include`.
        client: not used; where code for Nucleus has its client.
        tracking: where the registry is, for `info`; default: as in params.yaml of the current folder.

    The data set is read once, when it is first needed. Raises UnknownItem if the folder holds no model run, and
    DataSetError if it cannot be read.
    """

    def __init__(
        self,
        model_run_id: str | Path,
        dataset_id: str | Path | DataSetSettings | DataSettings,
        client: object = None,
        tracking: TrackingSettings | None = None,
    ) -> None:
        self._settings, self._tracking = _settings_of(dataset_id), tracking
        self.model_run_id, self.dataset_id, self.client = str(model_run_id), _test_set(self._settings).path, client
        self._folder = Path(model_run_id)
        if not (self._folder / RESULTS_FILE).is_file():
            raise UnknownItem(model_run_id, "is not a model run", "give a folder that infer or ModelRun.create wrote")
        self._store = ResultsStore(self._folder)
        self._reader = PredictionReader(self._store)
        self._reading = threading.Lock()
        self._executor = ThreadPoolExecutor(1, "model run")

    @classmethod
    def create(
        cls,
        folder: str | Path,
        dataset_id: str | Path | DataSetSettings | DataSettings,
        classes: Iterable[str | Mapping[str, str]] | None = None,
        name: str = "",
        model_id: str = "",
        metadata: Mapping[str, Any] | None = None,
        recordings: Iterable[str] | None = None,
    ) -> Self:
        """Make a model run without predictions.

        Args:
            folder: a new folder.
            dataset_id: as above.
            classes: the model's classes: names, or name, code, alt_name and alt_code of each; None: the data set's.
            name: of the model, for people; "": the folder's name.
            model_id: of the model; "": its name.
            metadata: anything else to store with the run: a mapping that JSON can hold, with strings as keys.
            recordings: names of the recordings that the model has analyzed, including those in which it found nothing:
                annotated sounds in them that no prediction matches count as missed. Others count as analyzed once they
                have predictions. None: all recordings of the data set, including those added later.

        Unreadable recordings are reported, and left out until they can be read. Raises SettingsError if an argument is
        invalid, and EarshotError if the folder holds results.
        """
        data_set = _read(_settings_of(dataset_id))
        chosen = data_set.classes.to_dict("records") if classes is None else classes
        name = name or Path(folder).name
        manifest = external_manifest(chosen, name, model_id or name, metadata, recordings is None)  # type: ignore[arg-type]
        create_run(folder, data_set, manifest, recordings)
        return cls(folder, dataset_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Wait for jobs, and close the files."""
        self._executor.shutdown()
        if "_writer" in self.__dict__:
            self._writer.close()
        self._store.close()

    @cached_property
    def _data_set(self) -> DataSet:
        return _read(self._settings)

    @cached_property
    def _writer(self) -> ExternalRunWriter:
        return ExternalRunWriter(self._folder, self._store.manifest, self._data_set.recordings)

    @cached_property
    def _annotation_digests(self) -> dict[str, str]:
        return annotation_digests(self._data_set.annotations)

    @property
    def _external_run(self) -> ExternalRun | None:
        """None: infer wrote the run."""
        return self._store.manifest.external_run

    # Predictions

    def predict(
        self,
        annotations: Iterable[Prediction],
        update: bool = False,
        asynchronous: bool = False,
        batch_size: int = 5000,
        remote_files_per_upload_request: int = 20,
        local_files_per_upload_request: int = 10,
    ) -> dict[str, Any] | AsyncJob:
        """Store predictions, by recording and batch by batch; a process that is killed leaves whole batches.

        Several processes may predict into a run, one after another. The first call looks for new and replaced
        recordings; predictions of a replaced one stay. Otherwise the time of a call depends on its predictions alone.

        Args:
            annotations: the predictions.
            update: overwrite existing predictions of the same (reference_id, annotation_id); False: skip them.
            asynchronous: return at once and work in the background, after earlier calls.
            batch_size: predictions in a batch.
            remote_files_per_upload_request, local_files_per_upload_request: not used; predictions have no files.

        Returns model_run_id, predictions_processed and predictions_ignored; or a job, whose message they become.
        Raises EarshotError, with a line for each of the first faults, if a prediction is invalid: then none is stored;
        and if infer wrote the model run, whose files are derived and read-only.
        """
        if batch_size < 1:
            raise SettingsError(f"batch_size = {batch_size}", "must be 1 or more")
        if self._external_run is None:
            remedy = "make a model run of your own by ModelRun.create"
            raise EarshotError(self._folder, "was written by infer and cannot be changed", remedy)
        predictions = list(annotations)
        work = partial(self._predict, predictions, update, batch_size)
        if asynchronous:
            return AsyncJob(self._executor, work, -(-len(predictions) // batch_size))
        return work(lambda done: None)

    def _predict(self, predictions: Sequence[Prediction], update: bool, batch_size: int, report: Report) -> dict:
        written = self._writer.write(predictions, update, batch_size, report)
        counts = {"predictions_processed": written.processed, "predictions_ignored": written.ignored}
        return {"model_run_id": self.model_run_id} | counts

    def info(self, folder: str | Path | None = None) -> dict[str, Any]:
        """model_id, name, status and metadata of the model run, and the payload of its last commit.

        status: `committed` if all predictions and annotations are as they were at the last commit, else `uncommitted`.
        payload: by which rules that commit matched, as `commit` takes them; None: uncommitted. Of what infer wrote,
        model_id is the id of the registered model that has the same weights (see InputModel), None if there is none,
        and metadata is how it was made. Raises EarshotError if the registry cannot be reached.

        folder: the folder given to commit.
        """
        rules, run = self._committed_rules(self._matches_folder(folder)), self._external_run
        commit = {
            "status": UNCOMMITTED if rules is None else COMMITTED,
            "payload": None if rules is None else rules.model_dump(mode="json"),
        }
        if run is not None:
            return {"model_id": run.model_id, "name": run.name, "metadata": run.metadata} | commit
        manifest = self._store.manifest
        model_id = id_by_weights(self._tracking or get_config().tracking, manifest.models)
        metadata = manifest.model_dump(mode="json", exclude={"classes", "external_run"})
        return {"model_id": model_id, "name": self._folder.name, "metadata": metadata} | commit

    def _committed_rules(self, folder: Path) -> MatchingRules | None:
        """The rules by which the matches in a folder were made; None if they are missing or out of date."""
        if not (folder / MATCHES_FILE).is_file():
            return None
        with self._reading:
            results = [result for result in self._store.recordings().values() if result.is_ok]
        digests = {each.name: (each.key, self._annotation_digests.get(each.name, "")) for each in results}
        with MatchesStore(folder) as matches:
            is_current = matches.matched() == {
                name: digests[name] for name in digests.keys() & self._data_set.recordings.keys()
            }
            return matches.rules() if is_current else None

    # Items

    def iloc(self, i: int) -> list[Prediction]:
        """The predictions of the i-th recording, from 0, of the data set in order of names.

        Raises UnknownItem.
        """
        names = sorted(self._data_set.recordings)
        if not 0 <= i < len(names):
            raise self._unknown(f"has no recording number {i}", f"it has {counted(len(names), 'recording')}, from 0")
        return self.refloc(names[i])

    def loc(self, dataset_item_id: str) -> dict[str, list[Prediction]]:
        """The predictions of a recording, as `annotations`, by the digest of its content.

        dataset_item_ids gives the ids. Raises UnknownItem, also if several recordings have the same content.
        """
        names = [name for name, digest in self.dataset_item_ids().items() if digest == dataset_item_id]
        if len(names) != 1:
            fault = f"has {len(names) or 'no'} recording{'s' * (len(names) != 1)} with the id {dataset_item_id}"
            remedy = f"ask for one by its name: {shortened(names)}" if names else "dataset_item_ids gives the ids"
            raise self._unknown(fault, remedy)
        return {"annotations": self.refloc(names[0])}

    def dataset_item_ids(self) -> dict[str, str]:
        """The id of each recording of the data set, by reference_id: a digest of its content, whatever its name."""
        return self._data_set.contents

    def refloc(self, reference_id: str) -> list[Prediction]:
        """The predictions of a recording, by start time and class. Raises UnknownItem.

        Those of infer have no class_pdf: each class has a score of its own, and the scores are not a distribution.
        """
        self._check_recording(reference_id)
        with self._reading:
            return self._reader.predictions(reference_id)

    def prediction_loc(self, reference_id: str, annotation_id: str) -> Prediction:
        """A prediction of a recording by its id, or its number as text if it was given none. Raises UnknownItem."""
        self._check_recording(reference_id)
        with self._reading:
            is_id = isinstance(annotation_id, str)
            prediction = self._reader.prediction(reference_id, annotation_id) if is_id else None
        if prediction is None:
            raise self._unknown(f"has no prediction {annotation_id!r} of {reference_id}", "see refloc")
        return prediction

    def _check_recording(self, reference_id: str) -> None:
        if reference_id not in self._data_set.recordings:
            raise self._unknown(f"has no recording {reference_id!r}", f"{self.dataset_id} has no file of that name")

    def _unknown(self, fault: str, remedy: str) -> UnknownItem:
        return UnknownItem(self.model_run_id, fault, remedy)

    # Matching

    def commit(self, payload: Mapping[str, Any] | None = None, folder: str | Path | None = None) -> dict[str, str]:
        """Match the predictions with the annotations, one to one, and store the result; see `matches`.

        Args:
            payload: `class_agnostic`, whether any two classes may match (default: true); `allowed_label_matches`, a
                list of {"ground_truth_label", "model_prediction_label"} that may match besides equal ones, with which,
                also if it is empty, class_agnostic counts as false; `iou`, least intersection over union (default:
                0.5).
            folder: where to write matches.db; None: the model run's or, if infer wrote that, the one beside it whose
                name ends with `.matches`, where evaluate commits the run by class.

        Returns model_run_id. Raises SettingsError if the payload cannot be used, and EarshotError if this would change
        the matches that the pipeline made.
        """
        rules, place = rules_of(payload), self._matches_folder(folder)
        if self._is_pipeline_output(place):
            if self._committed_rules(place) != rules:
                remedy = (
                    "run `dvc repro evaluate`, give ModelRun get_config().data, or commit a folder for these matches"
                )
                raise EarshotError(place, "is an output of the pipeline, which only evaluate writes", remedy)
            return {"model_run_id": self.model_run_id}
        if self._external_run is not None and os.access(self._folder, os.W_OK):
            self._writer.update_recordings()
        with sole_writer(place / MATCHES_FILE, WAIT_SECONDS), self._reading:
            store_matches(self._data_set, self._store, place, rules)
        return {"model_run_id": self.model_run_id}

    def _matches_folder(self, folder: str | Path | None) -> Path:
        if folder is not None:
            return Path(folder)
        return matches_folder(self._folder) if self._external_run is None else self._folder

    def _is_pipeline_output(self, folder: Path) -> bool:
        """Whether evaluate commits this run into that folder, and DVC has recorded that it did."""
        folder = Path(os.path.abspath(folder))
        if self._external_run is not None or folder != Path(os.path.abspath(matches_folder(self._folder))):
            return False
        lock = next((place / "dvc.lock" for place in folder.parents if (place / "dvc.lock").is_file()), None)
        if lock is None:
            return False
        try:
            return folder.relative_to(lock.parent).as_posix() in read_data_versions(lock)
        except (yaml.YAMLError, AttributeError, KeyError, TypeError):  # a killed DVC leaves a part of it
            raise EarshotError(lock, "cannot be read", "restore it by `git checkout dvc.lock`") from None

    def matches(self, reference_id: str, folder: str | Path | None = None) -> "pd.DataFrame":
        """The matches of a recording's predictions and annotations as of the last commit.

        Args:
            reference_id: name of the recording.
            folder: the folder given to commit.

        Returns a row for each pair, then each annotation and each prediction alone: `iou` (NaN: alone),
        `ground_truth_label`, `ground_truth_start`, `ground_truth_end` (s), `annotation`, its number among the
        recording's annotations; `annotation_id`, `label`, `start_time`, `end_time` (s), `confidence`. Events that
        take no part (see lib.evaluation.event_tables) have no row. Raises UnknownItem, and EarshotError if nothing was
        committed or predictions or annotations have changed since.
        """
        self._check_recording(reference_id)
        place = self._matches_folder(folder)
        with MatchesStore(place) as matches:
            item = matches.item(reference_id)
        with self._reading:
            key, predictions = self._store.key(reference_id), self._reader.by_number(reference_id)
        if item is None or (item.results, item.annotations) != (key, self._annotation_digests.get(reference_id, "")):
            fault = f"is out of date for {reference_id}"
            raise EarshotError(place / MATCHES_FILE, fault, "commit the model run again")
        annotations = self._data_set.annotations
        return match_table(item.table, annotations[annotations["recording"] == reference_id], predictions)


def _settings_of(dataset_id: str | Path | DataSetSettings | DataSettings) -> DataSetSettings | DataSettings:
    is_settings = isinstance(dataset_id, DataSetSettings | DataSettings)
    return dataset_id if is_settings else DataSetSettings(path=str(dataset_id))  # type: ignore[return-value]


def _test_set(settings: DataSetSettings | DataSettings) -> DataSetSettings:
    return settings.test if isinstance(settings, DataSettings) else settings


def _read(settings: DataSetSettings | DataSettings) -> DataSet:
    return read_test_set(settings) if isinstance(settings, DataSettings) else read_data_set(settings)
