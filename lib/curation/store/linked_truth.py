"""Frames and truth of a labelled data set of the project, read from its annotations at each call.

A frame is a recording, or a window of one. Where frames are recordings, any stretch of one is a frame, too, if somebody
asks for it by its id, such as t1@12.5-15: what people point at is not always a whole recording. Decisions are applied
as they are for training and evaluation.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl

from lib.audio.reader import probe
from lib.config.schema import DataSetSettings, DataSettings
from lib.core.errors import AudioError, EarshotError, Problem
from lib.core.files import project_root
from lib.core.wording import seconds_text
from lib.curation.store.frame_source import LABEL_COLUMNS, FrameSummary
from lib.curation.store.time_index import TimeIndex
from lib.formats.data_sets import DataSet, read_test_set, read_training_set, recordings_alone
from lib.sound.grid.windows import window_starts

if TYPE_CHECKING:
    import pandas as pd

WINDOW = "@"
"""Between the recording and the times in the id of a window."""
OPTIONS = "format", "include", "part", "window", "hop"
LABELS_A_BLOCK = 5_000


class LinkedUrl(NamedTuple):
    """Where a linked data set is, and what its frames are.

    Args:
        settings: the data set, as in data.train or data.test.
        part: test, or train: data.reviewed belongs to it, too.
        window, hop: s, of frames that are windows; 0: frames are recordings.
    """

    settings: DataSetSettings
    part: str
    window: float
    hop: float


def linked_url(url: str) -> LinkedUrl:
    """What the data_url of a linked data set says: PATH?format=csv&include=2024*&part=train&window=3&hop=1.5.

    A relative path counts from the project's folder. Defaults: format auto, all recordings, part test, whole
    recordings, and windows side by side. Raises EarshotError.
    """
    place, _, query = url.removeprefix("file://").partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := options.keys() - set(OPTIONS):
        raise EarshotError(url, f"has no option {sorted(unknown)[0]!r}", f"options are {', '.join(OPTIONS)}")
    try:
        window = float(options.get("window", 0))
        hop = float(options.get("hop", window))
        is_possible = 0 <= window < float("inf") and (window == 0 or 0 < hop < float("inf"))
    except ValueError:
        is_possible = False
    if not is_possible or options.get("part", "test") not in ("test", "train"):
        raise EarshotError(url, "window and hop must be seconds, and part test or train", "correct the URL")
    values = {"path": str(project_root() / place)} | {
        key: options[key] for key in ("format", "include") if key in options
    }
    try:
        settings = DataSetSettings.model_validate(values)
    except ValueError as error:
        raise EarshotError(url, f"is no data set ({str(error).splitlines()[-1].strip()})", "correct the URL") from None
    return LinkedUrl(settings, options.get("part", "test"), window, hop)


class LinkedTruth:
    """The FrameSource of a data set of the project.

    Args:
        url: see linked_url.
        data: whose decisions and reviewed recordings are taken.
        is_labeled: whether the data set is in one of the formats; else it is a folder of recordings, without labels.

    Raises DataSetError if the data set or the decisions cannot be read.
    """

    def __init__(self, url: str, data: DataSettings, is_labeled: bool = True) -> None:
        self._url = linked_url(url)
        self.data_set: DataSet = self._labeled(data) if is_labeled else recordings_alone(self._url.settings)
        self.problems: list[Problem] = list(self.data_set.problems)
        """What was left out of the data set."""

    def _labeled(self, data: DataSettings) -> DataSet:
        changed = data.model_copy(update={self._url.part: self._url.settings})
        return (read_training_set if self._url.part == "train" else read_test_set)(changed)

    def frames(self, frame_ids: Collection[str] | None = None) -> Iterator[FrameSummary]:
        wanted, recordings = None if frame_ids is None else set(frame_ids), self.data_set.recordings
        names: Iterable[str] = recordings
        stretches: dict[str, list[FrameSummary]] = {}
        if wanted is not None:
            of_wanted = {one.rpartition(WINDOW)[0] for one in wanted}
            names = sorted((of_wanted if self._url.window else of_wanted | wanted) & recordings.keys())
            for one in [] if self._url.window else sorted(wanted - recordings.keys()):
                name, span = one.rpartition(WINDOW)[0], window_span(one)
                if name in recordings and span is not None:
                    stretches.setdefault(name, []).append(_window(name, recordings[name], *span))
        for name in names:
            for frame in self._frames_of(name, recordings[name]):
                if wanted is None or frame.frame_id in wanted:
                    yield frame
            yield from stretches.get(name, ())

    def frames_of(self, recordings: Iterable[str]) -> Iterator[FrameSummary]:
        """The frames of recordings, by their names."""
        for name in recordings:
            yield from self._frames_of(name, self.data_set.recordings[name])

    def _frames_of(self, name: str, path: Path) -> Iterator[FrameSummary]:
        window = self._url.window
        if not window:
            yield FrameSummary(name, name, str(path), 0.0, float("inf"), "", "", {})
            return
        try:
            seconds = probe(path).seconds
        except AudioError as error:
            self.problems.append(error.problem())
            return
        for start in window_starts(seconds, window, self._url.hop).tolist():
            yield _window(name, path, start, start + window)

    def labels(self, frame_ids: Collection[str] | None = None) -> "Iterator[pd.DataFrame]":
        import pandas as pd

        annotations = self.data_set.annotations
        by_recording = {str(name): rows for name, rows in annotations.groupby("recording", sort=False)}
        rows: list[dict[str, Any]] = []
        recording, index = None, TimeIndex[dict[str, Any]]([], [], [])
        for frame in self.frames(frame_ids):
            if frame.recording != recording:  # frames of a recording follow one another
                recording, table = frame.recording, by_recording.get(frame.recording, annotations[:0])
                records: list[dict[str, Any]] = table.to_dict("records")  # type: ignore[assignment]
                index = TimeIndex(records, table["start_time"].tolist(), table["end_time"].tolist())
            rows += _labels_of(frame, index.within(frame.start_time, frame.end_time))
            if len(rows) >= LABELS_A_BLOCK:
                yield pd.DataFrame(rows, columns=LABEL_COLUMNS)
                rows = []
        if rows:
            yield pd.DataFrame(rows, columns=LABEL_COLUMNS)

    def contents(self, frame_ids: Collection[str] | None = None) -> Iterator[dict[str, Any]]:
        by_frame: dict[str, list[dict[str, Any]]] = {}
        for table in self.labels(frame_ids):
            for row in table.to_dict("records"):
                by_frame.setdefault(row["frame_id"], []).append(row)  # type: ignore[arg-type]
        for frame in self.frames(frame_ids):
            yield content_of_summary(frame, by_frame.get(frame.frame_id, []))


def window_id(recording: str, start: float, end: float) -> str:
    """The id of a window (s) of a recording.

    >>> window_id("t1", 12.5, 15.0), window_span("t1@12.5-15"), window_span("t1@dawn")
    ('t1@12.5-15', (12.5, 15.0), None)
    """
    return f"{recording}{WINDOW}{seconds_text(start)}-{seconds_text(end)}"


def window_span(frame_id: str) -> tuple[float, float] | None:
    """Start and end (s) of a window, as its id says; None: it is another id."""
    found = _SPAN.fullmatch(frame_id)
    span = (float(found[1]), float(found[2])) if found else (0.0, 0.0)
    return span if span[0] < span[1] else None


_SPAN = re.compile(rf".*{WINDOW}([0-9]+(?:\.[0-9]+)?)-([0-9]+(?:\.[0-9]+)?)", re.DOTALL)


def _window(name: str, path: Path, start: float, end: float) -> FrameSummary:
    url = f"{path}#t={seconds_text(start)},{seconds_text(end)}"
    return FrameSummary(window_id(name, start, end), name, url, start, end, "", "", {})


def _labels_of(frame: FrameSummary, annotations: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The labels of a frame, cut at its ends. Their ids follow from what they say, so they last as long as that.

    annotations: that reach into it.
    """
    labels: list[dict[str, Any]] = []
    n_same: dict[str, int] = {}
    for row in annotations:
        start, end = max(row["start_time"], frame.start_time), min(row["end_time"], frame.end_time)
        if end <= start:
            continue
        low, high = (float(row.get(column, float("nan"))) for column in ("low_freq", "high_freq"))
        times = f"{seconds_text(row['start_time'])}-{seconds_text(row['end_time'])}"
        label_id = f"{frame.frame_id}/{row['class']}/{times}"
        n_same[label_id] = n_same.get(label_id, 0) + 1
        label_id += f"/{n_same[label_id]}" if n_same[label_id] > 1 else ""
        attributes = {"annotator": row["annotator"]} if row.get("annotator") else {}
        confidence = float(row.get("confidence", float("nan")))
        label = [frame.frame_id, label_id, row["class"], start, end, low, high, confidence]
        label += [kind_of(frame, start, end, low), attributes]
        labels.append(dict(zip(LABEL_COLUMNS, label, strict=True)))
    return labels


def kind_of(frame: FrameSummary, start: float, end: float, low: float) -> str:
    """The kind of a label of a frame: a classification of the whole frame, or a box.

    Args:
        start, end: s.
        low: Hz; nan: all frequencies.
    """
    is_whole = start <= frame.start_time and end >= frame.end_time and low != low
    return "2d_classification" if is_whole else "2d_bbox"


def content_of_summary(frame: FrameSummary, labels: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A frame and its labels, rows of LABEL_COLUMNS, as to_dict of a frame gives them."""
    sensors = [{"sensor_id": "DEFAULT", "sensor_type": "AUDIO", "audio_url": frame.audio_url, "date_captured": None}]
    metadata = [{"key": key, "type": type(value).__name__, "value": value} for key, value in frame.metadata.items()]
    return {
        "frame_id": frame.frame_id,
        "update_type": "ADD",
        "date_captured": frame.date_captured or None,
        "device_id": frame.device_id or None,
        "sensor_data": sensors if frame.audio_url else [],
        "user_metadata": metadata,
        "geo_data": {},
        "custom_metrics": {},
        "label_data": [_label_content(label) for label in labels],
    }


def _label_content(label: Mapping[str, Any]) -> dict[str, Any]:
    content = {
        "label_type": label["kind"],
        "label_id": label["label_id"],
        "sensor_id": "DEFAULT",
        "classification": label["class"],
        "confidence": None if label["confidence"] != label["confidence"] else label["confidence"],
        "user_attrs": label["attributes"],
    }
    if label["kind"] == "2d_bbox":
        low, high = label["low_freq"], label["high_freq"]
        has_band = low == low and high == high
        content |= {"left": label["start_time"], "width": label["end_time"] - label["start_time"]}
        content |= {"top": high if has_band else None, "height": high - low if has_band else None}
    return content
