"""How data sets and inference sets are created and filled."""

import datetime
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Row

from lib.core.errors import EarshotError
from lib.core.files import project_root
from lib.curation.client.client_base import UNLABELED, checked_metadata
from lib.curation.client.frame_preview import draw_frame
from lib.curation.client.frame_uploads import FrameUploads, fetched_stream, is_stream, lines_of_stream
from lib.curation.client.project_definitions import PrimaryTaskTypes, task_fault
from lib.curation.frames.entry_names import check_entry_name
from lib.curation.frames.frame_streams import FrameStream, Inferences, LabeledDataset, UnlabeledDataset, checked_mode
from lib.curation.store.frame_catalog import INFERENCES
from lib.curation.store.linked_predictions import LinkedPredictions
from lib.curation.store.linked_truth import LinkedTruth

TWO_HOURS = datetime.timedelta(seconds=7200)
DISTANCES = ("euclidean", "cosine")


class SetCreation(FrameUploads):
    """Methods of the client that create and fill data sets and inference sets."""

    def create_or_update_dataset(
        self,
        project_id: str,
        dataset_id: str,
        data_url: str | None = None,
        embeddings_url: str | None = None,
        dataset: LabeledDataset | UnlabeledDataset | None = None,
        wait_until_finish: bool = False,
        wait_timeout: datetime.timedelta = TWO_HOURS,
        embedding_distance_metric: str = "euclidean",
        preview_first_frame: bool = False,
        delete_cache_files_after_upload: bool = True,
        check_first_frame: bool = True,
        external_metadata: dict[str, Any] | None = None,
        pipeline_mode: str = "STREAMING",
        is_unlabeled_indexed_dataset: bool = False,
        seed_dataset_name_for_unlabeled_search: str | None = None,
        is_anon_mode: bool = False,
        existing_embedding_version_uuid: str | None = None,
        frame_model_version: str | None = None,
        crop_model_version: str | None = None,
    ) -> None:
        """Create a data set, or add to one that is streaming; afterwards it is there as a whole, or unchanged.

        Args:
            project_id, dataset_id: names.
            data_url: a file of frames that write_to_file wrote (.jsonl), which are uploaded; or a labelled data set of
                the project, to which this one is linked: PATH?format=csv&include=2024*&part=train&window=3&hop=1.5. Its
                frames are the recordings or, with window (s), windows; labels are read when they are asked for, with
                decisions applied, for part test (the default) as evaluation does, for train as training does. Of an
                unlabelled data set, it is a folder of recordings: PATH?include=2024*&window=3&hop=1.5.
            embeddings_url: a file that write_embeddings_to_file wrote (.jsonl), whose embeddings are uploaded; or, of a
                linked data set, a store that the embed stage wrote, where they are read when they are asked for.
                Default: data/embeddings.db, where that has the recordings and no embeddings were uploaded.
            dataset: frames to upload.
            embedding_distance_metric: euclidean or cosine.
            preview_first_frame: print where a picture of the first frame is, see preview_frame.
            check_first_frame: refuse the data set if the first frame does not fit the project's task.
            external_metadata: anything else that JSON can hold.
            pipeline_mode: STREAMING, or BATCH: it cannot be added to.
            frame_model_version, crop_model_version: what made the embeddings.
            wait_until_finish, wait_timeout, delete_cache_files_after_upload, is_anon_mode: change nothing; uploads are
                finished when this returns, and their temporary files are gone.
            is_unlabeled_indexed_dataset: the data set is unlabelled, as one of UnlabeledFrames is.
            seed_dataset_name_for_unlabeled_search, existing_embedding_version_uuid: are noted with the data set.

        Raises EarshotError if it cannot be created; entries that are not allowed become ingest errors.
        """
        kind = UNLABELED if isinstance(dataset, UnlabeledDataset) or is_unlabeled_indexed_dataset else "labeled"
        content: dict[str, Any] = {
            "pipeline_mode": checked_mode(pipeline_mode),
            "is_unlabeled_indexed_dataset": is_unlabeled_indexed_dataset,
            "seed_dataset_name_for_unlabeled_search": seed_dataset_name_for_unlabeled_search,
            "existing_embedding_version_uuid": existing_embedding_version_uuid,
        }
        models: dict[str, Any] = {"frame_model_version": frame_model_version, "crop_model_version": crop_model_version}
        content |= {"embedding_distance_metric": _distance(embedding_distance_metric)} | models
        checked = 1 if check_first_frame else 0
        values = {"Kind": kind, "Content": content} | _metadata_values(external_metadata)
        self._create(project_id, dataset_id, None, values, data_url, embeddings_url, dataset, checked)
        if preview_first_frame:
            for first in itertools.islice(self.source(project_id, dataset_id).contents(), 1):
                print(draw_frame(first, None, self._class_map(self.catalog.project(project_id))))

    create_dataset = create_or_update_dataset

    def create_or_update_inferences(
        self,
        project_id: str,
        dataset_id: str,
        inferences_id: str,
        data_url: str | None = None,
        embeddings_url: str | None = None,
        inferences: Inferences | None = None,
        wait_until_finish: bool = False,
        wait_timeout: datetime.timedelta = TWO_HOURS,
        embedding_distance_metric: str = "euclidean",
        delete_cache_files_after_upload: bool = True,
        external_metadata: dict[str, Any] | None = None,
        pipeline_mode: str = "STREAMING",
        frame_model_version: str | None = None,
        crop_model_version: str | None = None,
    ) -> None:
        """Create an inference set of a data set, or add to one; afterwards it is there as a whole, or unchanged.

        Args:
            project_id, dataset_id, inferences_id: names.
            data_url: a file of frames (.jsonl), which are uploaded; or a folder that infer wrote, to whose results the
                inference set is linked: predictions are read when they are asked for.
            inferences: frames to upload.
            embeddings_url and the others: see create_or_update_dataset.

        Raises EarshotError if it cannot be created; entries that are not allowed become ingest errors.
        """
        content: dict[str, Any] = {
            "pipeline_mode": checked_mode(pipeline_mode),
            "frame_model_version": frame_model_version,
        }
        content |= {"crop_model_version": crop_model_version}
        content |= {"embedding_distance_metric": _distance(embedding_distance_metric)}
        values = {"Kind": INFERENCES, "Content": content} | _metadata_values(external_metadata)
        self._create(project_id, dataset_id, inferences_id, values, data_url, embeddings_url, inferences, 0)

    create_inferences = create_or_update_inferences

    def add_to_streaming_dataset(
        self,
        project_id: str,
        dataset_id: str,
        dataset: LabeledDataset | UnlabeledDataset | None = None,
        embedding_distance_metric: str = "euclidean",
        delete_cache_files_after_upload: bool = True,
        external_metadata: dict[str, Any] | None = None,
        is_anon_mode: bool = False,
        upload_version: str | None = None,
        validate_frames: bool = False,
        reuse_embeddings: bool = False,
    ) -> None:
        """Add, change and delete frames of a data set, all together or, if this is interrupted, none.

        Args:
            project_id, dataset_id: names.
            dataset: the frames, each with its update_type.
            external_metadata: replaces that of the data set; None: it stays.
            upload_version: name of the set of changes; None: the last one, at first "1".
            validate_frames: refuse all if one does not fit the project's task.
            reuse_embeddings: keep embeddings of frames that are replaced.
            embedding_distance_metric, delete_cache_files_after_upload, is_anon_mode: see create_or_update_dataset.

        Raises EarshotError if there is no such data set, or it is not streaming.
        """
        row = self.catalog.frame_set(project_id, dataset_id)
        if row.Content["pipeline_mode"] != "STREAMING":
            raise EarshotError(f"data set {dataset_id!r}", "is not streaming", "create it with STREAMING")
        _distance(embedding_distance_metric)
        values = {"Kind": row.Kind} | _metadata_values(external_metadata)
        checked = None if validate_frames else 0
        stream = _Reused(dataset) if dataset is not None and reuse_embeddings else dataset or LabeledDataset()
        self._create(project_id, dataset_id, None, values, None, None, stream, checked, upload_version)

    def _create(
        self,
        project_id: str,
        data_set: str,
        inferences: str | None,
        values: dict[str, Any],
        data_url: str | None,
        embeddings_url: str | None,
        frames: "FrameStream | _StreamFile | _Reused | None",
        n_checked: int | None,
        version: str | None = None,
    ) -> None:
        """Create or update a set, and take what is uploaded, in one transaction.

        n_checked: how many frames must fit the project's task; None: all.
        """
        project = self.catalog.project(project_id)
        base = None if inferences is None else self.catalog.frame_set(project_id, data_set)
        name = data_set if inferences is None else inferences
        check_entry_name("data set" if inferences is None else "inference set", name)
        if version is not None:
            check_entry_name("upload version", version)
        if data_url is not None and frames is not None:
            raise EarshotError("data_url", "goes with no frames", "give a URL or frames")
        before = self.catalog.find_set(project_id, data_set, inferences)
        _check_update(name, before, values, data_url)
        source = None if base is None else self.source(project_id, data_set)
        if data_url is not None and not is_stream(data_url):
            is_labeled = values["Kind"] != UNLABELED
            _ = LinkedTruth(data_url, self._data, is_labeled) if source is None else LinkedPredictions(data_url, source)
            values |= {"DataUrl": data_url}
        if "DataUrl" in values or (before is not None and before.DataUrl is not None):
            embeddings_url = _link_store(values, before, base, embeddings_url)
        with ExitStack() as files:
            if data_url is not None and is_stream(data_url):
                frames = _StreamFile(files.enter_context(fetched_stream(data_url)))
            vectors = None if embeddings_url is None else files.enter_context(fetched_stream(embeddings_url))
            mirrored = {} if frames is None else self._mirrored(project_id, name, frames.lines())
            with self.database.writing() as connection:
                row = self.catalog.ensure_set(connection, project, base, name, **values)
                if frames is not None:
                    lines = _fitting(frames.lines(), PrimaryTaskTypes(project.Content["primary_task"]), n_checked)
                    self._upload(connection, project, row, lines, version, mirrored, base=source)
                if vectors is not None:
                    self._take_embeddings(connection, row, vectors)


class _StreamFile(NamedTuple):
    """A file of frames."""

    path: Path

    def lines(self) -> Iterator[str]:
        return lines_of_stream(self.path)


class _Reused(NamedTuple):
    """Frames that keep the embeddings that a set has of them."""

    stream: FrameStream

    def lines(self) -> Iterator[str]:
        return map(_reusing, self.stream.lines())


def _link_store(values: dict[str, Any], before: Row | None, base: Row | None, url: str | None) -> str | None:
    """Note the store of embeddings of a linked set among its values; returns the URL unless it names that.

    before: the row of the set. base: of an inference set, the data set. Raises EarshotError if the store cannot be
    read.
    """
    if url is None or is_stream(url):
        store = before.Content.get("embeddings_url") if before is not None else None
    elif base is not None:
        raise EarshotError("embeddings_url", "names a store, which is about recordings", "give it to the data set")
    else:
        from lib.curation.embedding_store import EmbeddingStore

        store, url = url.removeprefix("file://"), None
        EmbeddingStore(project_root() / store).close()  # else the error would come later
    if store is not None:
        values["Content"] = values.get("Content", {}) | {"embeddings_url": store}
    return url


def _check_update(name: str, before: Row | None, values: Mapping[str, Any], data_url: str | None) -> None:
    """Raise EarshotError if a set cannot become what is asked for."""
    if before is None:
        return
    is_link = data_url is not None and not is_stream(data_url)
    if before.Kind != values["Kind"]:
        raise EarshotError(f"data set {name!r}", f"is {before.Kind}, not {values['Kind']}", "choose another name")
    if before.Content.get("pipeline_mode") == "BATCH":
        raise EarshotError(f"data set {name!r}", "is not streaming, so it cannot be updated", "delete it first")
    if is_link and before.DataUrl is None:
        raise EarshotError(f"data set {name!r}", "has frames of its own, and cannot be linked", "delete it first")


def _distance(metric: str) -> str:
    if metric not in DISTANCES:
        raise EarshotError(f"embedding_distance_metric {metric!r}", "is unknown", f"give {' or '.join(DISTANCES)}")
    return metric


def _metadata_values(metadata: dict[str, Any] | None) -> dict[str, Any]:
    return {} if metadata is None else {"Metadata": checked_metadata(metadata)}


def _reusing(line: str) -> str:
    return json.dumps(json.loads(line) | {"reuse_latest_embedding": True}, ensure_ascii=False)


def _fitting(lines: Iterable[str], task: PrimaryTaskTypes, n_checked: int | None) -> Iterator[str]:
    """Lines of which the first fit a task; None: all. Raises EarshotError at one that does not."""
    for number, line in enumerate(lines):
        if n_checked is None or number < n_checked:
            try:
                frame = json.loads(line)
                fault = task_fault(task, frame) if frame.get("update_type") != "DELETE" else ""
            except (ValueError, TypeError, KeyError, AttributeError):
                fault = ""  # becomes an ingest error
            if fault:
                raise EarshotError(f"frame {frame['frame_id']!r}", fault, "see the project's primary_task")
        yield line
