"""Issues about the clips of a review, in the curation database, where IssueManager and WorkQueueManager have them, too.

A clip is a frame of its issue: the stretch of its recording, such as t1@12.5-15, and in the element's label_metadata
`recording`, `start_time`, `end_time` (s) and `classes`, which are the clips that are meant there. Issues about the test
set or the training set are about data sets that are linked to these; issues about any other recordings are about a
data set that is given their frames when they are used.
"""

import threading
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from sqlalchemy import Row

from lib.config.schema import Settings
from lib.core.errors import EarshotError
from lib.core.wording import seconds_text
from lib.curation.clip_index import Clip, ClipIndex
from lib.curation.clip_places import PlacedClip, SoundPlace, clip_end, clips_at, data_sets_of
from lib.curation.issues.issue import WORK_QUEUE, IssueElement
from lib.curation.issues.issue_manager import IssueManager
from lib.curation.issues.issue_store import IssueStore
from lib.curation.issues.work_queue_manager import WorkQueueManager
from lib.curation.store.linked_truth import window_id

if TYPE_CHECKING:
    from lib.curation.client.client import Client

TEST, TRAIN, OTHERS = "test", "train", "others"
"""Data sets of the project."""


class PlacedElement(NamedTuple):
    """An element of an issue. row: of ISSUE_ELEMENT; place: None: it is not known any more; clips: there."""

    row: Row
    place: SoundPlace | None
    clips: list[PlacedClip]

    @property
    def is_decided(self) -> bool:
        return bool(self.clips) and all(clip.decision for clip in self.clips)


class BatchProgress(NamedTuple):
    """A batch of a work queue: of its n elements, so many are decided about. status, assignee: see WorkQueue."""

    name: str
    status: str
    assignee: str
    n: int
    decided: int


class ReviewedIssues:
    """The issues of a review; several threads may use it. The database and the project in it are made on first use.

    Args:
        settings: of the data sets.
        labels: folder that infer wrote.
        url: of the curation database.
        project: its name there.

    Methods raise EarshotError.
    """

    def __init__(self, settings: Settings, labels: str, url: str, project: str) -> None:
        self._settings, self._labels, self._url, self.project = settings, labels, url, project
        self._lock = threading.Lock()
        self._opened: Client | None = None

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()

    def _client(self, index: ClipIndex) -> "Client":
        from lib.curation.client.client import Client
        from lib.curation.client.label_class_map import LabelClassMap

        with self._lock:
            if self._opened is None:
                client = Client(api_endpoint=self._url, data=self._settings.data)
                try:
                    client.create_project(self.project, LabelClassMap.from_classnames(index.classes))
                except EarshotError:
                    if not client.project_exists(self.project):
                        client.close()
                        raise
                self._opened = client
            return self._opened

    def manager(self, index: ClipIndex) -> IssueManager:
        return IssueManager(self._client(index), self.project)

    def queues(self, index: ClipIndex) -> WorkQueueManager:
        return WorkQueueManager(self._client(index), self.project)

    def _store(self, index: ClipIndex) -> IssueStore:
        client = self._client(index)
        return IssueStore(client.database, client.catalog.project(self.project).ID)

    # Reading

    def issues(self, index: ClipIndex) -> list[tuple[Row, int, Counter[str]]]:
        """Each issue, its number of elements and, of a work queue, of batches by status; the newest first."""
        store = self._store(index)
        rows, counts = store.issues(), store.element_counts()
        batches = store.batches([row.ID for row in rows if row.Type == WORK_QUEUE])
        states = {number: Counter(batch.Status for batch in those) for number, those in batches.items()}
        return [(row, counts.get(row.ID, 0), states.get(row.ID, Counter())) for row in reversed(rows)]

    def issue(self, index: ClipIndex, issue_id: str) -> Row:
        return self._store(index).issue(issue_id)

    def comments(self, index: ClipIndex, issue: Row) -> dict[int | None, list[dict[str, Any]]]:
        """On an issue, as None, and on its elements by their rows' IDs; see IssueStore."""
        return self._store(index).comments(issue.ID)

    def elements(self, index: ClipIndex, issue: Row, batch: str = "") -> list[PlacedElement]:
        """The elements of an issue, or of a batch of it, and their clips."""
        store = self._store(index)
        rows = list(store.elements([issue.ID]))
        if batch:
            (number,) = [each.ID for each in store.batches([issue.ID])[issue.ID] if each.Name == batch] or [None]
            if number is None:
                raise EarshotError(batch, "the work queue has no batch of this name")
            rows = [row for row in rows if row.WorkBatchID == number]
        places = [_noted_place(row) for row in rows]
        if None in places:
            known = self._looked_up(index, issue, [row for row, at in zip(rows, places, strict=True) if at is None])
            places = [place or known.get(row.ID) for row, place in zip(rows, places, strict=True)]
        placed = [k for k, place in enumerate(places) if place is not None]
        clips = dict(zip(placed, clips_at(index, [places[k] for k in placed]), strict=True))  # type: ignore[misc]
        return [PlacedElement(row, places[k], clips.get(k, [])) for k, row in enumerate(rows)]

    def _looked_up(self, index: ClipIndex, issue: Row, rows: list[Row]) -> dict[int, SoundPlace]:
        """Places of elements that were not made here, by their rows' IDs."""
        client, places = self._client(index), dict[int, SoundPlace]()
        frames = {frame.frame_id: frame for frame in client.frames(self.project, issue.Dataset, _frames(rows))}
        for row in rows:
            if row.CropType is None and (frame := frames.get(row.FrameName)) is not None:
                recording = frame.recording or frame.frame_id
                places[row.ID] = SoundPlace(recording, frame.start_time, frame.end_time)
        for crop_type, inferences in (("label", None), ("inference", issue.InferenceSet)):
            crops = {row.CropName: row for row in rows if row.CropType == crop_type}
            if not crops:
                continue
            source = client.source(self.project, issue.Dataset, inferences)
            for table in source.labels(_frames(list(crops.values()))):
                for label in table[table["label_id"].isin(list(crops))].itertuples():
                    row, frame = crops[str(label.label_id)], frames.get(str(label.frame_id))
                    recording = frame.recording if frame is not None and frame.recording else row.FrameName
                    span = float(label.start_time), float(label.end_time)  # type: ignore[arg-type]
                    places[row.ID] = SoundPlace(recording, *span, (str(table.at[label.Index, "class"]),))
        return places

    def batches(self, index: ClipIndex, issue: Row, elements: Sequence[PlacedElement]) -> list[BatchProgress]:
        """The batches of a work queue; elements: all of it."""
        n = Counter(element.row.WorkBatchID for element in elements)
        decided = Counter(element.row.WorkBatchID for element in elements if element.is_decided)
        rows = self._store(index).batches([issue.ID])[issue.ID] if issue.Type == WORK_QUEUE else []
        return [BatchProgress(row.Name, row.Status, row.Assignee or "", n[row.ID], decided[row.ID]) for row in rows]

    # Writing

    def create(self, index: ClipIndex, name: str, kind: str, ids: Sequence[int], batch_size: int, by: str) -> str:
        """Make an issue of clips; returns its id. kind: one of ISSUE_TYPES; batch_size: of a work queue."""
        clips = index.clips(ids)
        data_sets = data_sets_of(index, ids)
        (data_set,) = data_sets if data_sets in ({TEST}, {TRAIN}) else {OTHERS}
        size = batch_size if kind == WORK_QUEUE else None
        elements = self._elements_of(index, data_set, clips)
        return self.manager(index).create_issue(
            name, data_set, elements, "frame", issue_type=kind, work_queue_batch_size=size, reporter=by
        )

    def add(self, index: ClipIndex, issue_id: str, ids: Sequence[int]) -> None:
        """Add clips to an issue; those that it has stay as they are."""
        clips, issue = index.clips(ids), self.issue(index, issue_id)
        if issue.Dataset in (TEST, TRAIN) and (other := data_sets_of(index, ids) - {issue.Dataset}):
            fault = f"is about the data set {issue.Dataset!r}, and some clips are of {min(other) or 'other recordings'}"
            raise EarshotError(f"issue {issue.Name!r}", fault, "make another issue for them")
        self.manager(index).add_elements_to_issue(issue_id, self._elements_of(index, issue.Dataset, clips))

    def _elements_of(self, index: ClipIndex, data_set: str, clips: Sequence[Clip]) -> list[IssueElement]:
        """Elements that clips are, of which those at the same place are one."""
        self._ensure_set(index, data_set, clips)
        metadata: dict[str, dict[str, Any]] = {}
        for clip in clips:
            end = clip_end(clip)
            place = {"recording": clip.recording, "start_time": clip.start_time, "end_time": end, "classes": []}
            known = metadata.setdefault(window_id(clip.recording, clip.start_time, end), place)
            known["classes"] += [] if clip.class_name in known["classes"] else [clip.class_name]
        return [IssueElement(each, each, "frame", data_set, label_metadata=values) for each, values in metadata.items()]

    def _ensure_set(self, index: ClipIndex, data_set: str, clips: Sequence[Clip]) -> None:
        """Make a data set, linked to what is reviewed; other recordings are given the frames that clips are."""
        client = self._client(index)
        if data_set in (TEST, TRAIN):
            settings = self._settings.data.test if data_set == TEST else self._settings.data.train
            options = {"part": data_set, "format": settings.format}
            options |= {"include": settings.include} if settings.include else {}
            url = f"{settings.path}?{urlencode(options)}"
            known = client.catalog.find_set(self.project, data_set)
            if known is None or known.DataUrl != url:
                client.create_or_update_dataset(self.project, data_set, data_url=url)
        else:
            client.create_or_update_dataset(self.project, data_set, dataset=_frames_of(clips))
        results = client.catalog.find_set(self.project, data_set, "results")
        if results is None or results.DataUrl != self._labels:
            client.create_or_update_inferences(self.project, data_set, "results", data_url=self._labels)


def _frames_of(clips: Sequence[Clip]) -> Any:
    from lib.curation.frames.frame_streams import UnlabeledDataset
    from lib.curation.frames.labeled_frame import UnlabeledFrame

    data_set, done = UnlabeledDataset(), set[str]()
    for clip in clips:
        end = clip_end(clip)
        frame_id = window_id(clip.recording, clip.start_time, end)
        if frame_id not in done:
            frame = UnlabeledFrame(frame_id=frame_id)
            span = f"{seconds_text(clip.start_time)},{seconds_text(end)}"
            frame.add_audio(audio_url=f"{clip.path}#t={span}")
            data_set.add_frame(frame)
            done.add(frame_id)
    return data_set


def _frames(rows: Sequence[Row]) -> set[str]:
    return {row.FrameName for row in rows}


def _noted_place(row: Row) -> SoundPlace | None:
    try:
        names = tuple(str(name) for name in row.Metadata["classes"])
        span = float(row.Metadata["start_time"]), float(row.Metadata["end_time"])
        return SoundPlace(str(row.Metadata["recording"]), *span, names)
    except (KeyError, TypeError, ValueError):
        return None
