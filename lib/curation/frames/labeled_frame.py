"""Frames of data sets: a recording or a window of one, with labels, embeddings and metadata."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from lib.core.errors import EarshotError
from lib.core.urls import file_name_of
from lib.curation.frames.entry_names import check_entry_name
from lib.curation.frames.foreign_methods import with_foreign
from lib.curation.frames.frame_parts import Content, EmbeddedFrame, typed_list_field
from lib.curation.frames.label_kinds import DEFAULT_SENSOR, is_number
from lib.curation.frames.label_methods import ADD_LABEL, with_labels
from lib.sound.recordings import stem_of


def _date(text: Any) -> str:
    """An ISO 8601 date and time. Raises EarshotError."""
    try:
        datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise EarshotError("date_captured", f"{str(text)[:100]!r} is no ISO 8601 date", "2024-05-12T05:30:00") from None
    return text


def audio_place(url: str) -> tuple[str, str, float, float | None]:
    """What an audio_url says: the file or URL, the name of the recording, start and end (s; None: its end).

    >>> audio_place("field/dawn.flac#t=3,6")
    ('field/dawn.flac', 'dawn', 3.0, 6.0)

    Raises EarshotError for times that are none.
    """
    place, _, fragment = url.partition("#t=")
    name = file_name_of(place) if "://" in place else place.replace("\\", "/").rpartition("/")[2]
    if not fragment:
        return place, stem_of(name), 0.0, None
    start_text, _, end_text = fragment.partition(",")
    try:
        start, end = float(start_text or 0), float(end_text) if end_text else None
    except ValueError:
        start, end = -1.0, None
    if not 0 <= start < float("inf") or (end is not None and not start < end < float("inf")):
        raise EarshotError(f"audio_url {url[:100]!r}", "its times are none", "write #t=START,END in seconds")
    return place, stem_of(name), start, end


@with_foreign(["add_label"], has_sensors=True)
@with_labels(ADD_LABEL)
class LabeledFrame(EmbeddedFrame):
    """A frame of a labelled data set.

    Args:
        frame_id: unique within its data set.
        date_captured: ISO 8601 date and time.
        device_id: of the recorder.
        update_type: ADD replaces what the data set has of the frame, MODIFY is applied on top of it, DELETE removes it.

    >>> frame = LabeledFrame(frame_id="dawn@3-6")
    >>> frame.add_audio(audio_url="field/dawn.flac#t=3,6")
    >>> frame.add_label_2d_bbox(label_id="1", classification="Wren", left=3.5, width=1.2, top=8000, height=5000)
    """

    if TYPE_CHECKING:  # the methods of labels are derived

        def __getattr__(self, name: str) -> Any: ...

    def __init__(
        self,
        *,
        frame_id: str,
        date_captured: str | None = None,
        device_id: str | None = None,
        update_type: str = "ADD",
    ) -> None:
        super().__init__(frame_id, update_type)
        self._date_captured = None if date_captured is None else _date(date_captured)
        self._device_id = device_id
        self._reuses_embedding = False
        self._sensors: dict[str, Content] = {}
        self._place: dict[str, float] = {}
        if device_id is not None:
            check_entry_name("device", device_id)

    def add_audio(
        self,
        *,
        sensor_id: str = DEFAULT_SENSOR,
        audio_url: str,
        date_captured: str | None = None,
        mirror_asset: bool = False,
    ) -> None:
        """Add the sound of a recorder.

        Args:
            sensor_id: of the recorder, where a frame has several.
            audio_url: path or URL of the recording; `#t=3,6` behind it: the window from 3 s to 6 s. A relative path
                counts from the project's folder.
            date_captured: ISO 8601 date and time.
            mirror_asset: copy the file into the curation database's folder when the frame is uploaded.
        """
        check_entry_name("sensor", sensor_id)
        check_entry_name("audio_url", audio_url)
        audio_place(audio_url)
        date = None if date_captured is None else _date(date_captured)
        sensor = {"sensor_id": sensor_id, "sensor_type": "AUDIO", "audio_url": audio_url, "date_captured": date}
        self._sensors[sensor_id] = sensor | ({"mirror_asset": True} if mirror_asset else {})

    def add_geo_latlong_data(self, lat: float, lon: float) -> None:
        """Add where it was recorded: degrees north (-90 to 90) and east (-180 to 180), WGS 84."""
        if not (is_number(lat) and is_number(lon) and abs(lat) <= 90 and abs(lon) <= 180):
            raise EarshotError(
                f"frame {self.frame_id!r}", f"{lat!r}, {lon!r} is no place", "give degrees north and east"
            )
        self._place = {"lat": float(lat), "lon": float(lon)}

    def add_user_metadata_list(self, key: str, val: Sequence[Any], list_elt_type: str | None = None) -> None:
        """Add a field of metadata that is a list.

        Args:
            key: its name.
            val: texts, numbers or bools, all of one type.
            list_elt_type: str, int, float or bool; None: that of the values.
        """
        self._metadata[key] = typed_list_field(key, val, list_elt_type)

    def add_embedding(
        self,
        *,
        embedding: Sequence[float],
        crop_embeddings: Sequence[Mapping[str, Any]] | None = None,
        model_id: str = "",
    ) -> None:
        """Add embeddings of the frame and of its labels at once; see add_frame_embedding and add_crop_embedding.

        Args:
            embedding: of the frame.
            crop_embeddings: of labels, `[{"uuid": label_id, "embedding": vector}, ...]`.
            model_id: what made them.
        """
        self.add_frame_embedding(embedding=embedding, model_id=model_id)
        for crop in crop_embeddings or ():
            self.add_crop_embedding(label_id=crop["uuid"], embedding=crop["embedding"], model_id=model_id)

    def to_dict(self) -> Content:
        content = super().to_dict() | {"date_captured": self._date_captured, "device_id": self._device_id}
        content |= {"sensor_data": list(self._sensors.values()), "geo_data": self._place}
        return content | ({"reuse_latest_embedding": True} if self._reuses_embedding else {})

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """The frame of which to_dict gave this. Raises EarshotError where it is damaged."""
        known = ("frame_id", "date_captured", "device_id")
        frame = cls(**{key: content.get(key) for key in known}, update_type=content.get("update_type", "ADD"))  # type: ignore[arg-type]
        for sensor in content.get("sensor_data") or ():
            if sensor.get("sensor_type", "AUDIO") != "AUDIO":
                raise EarshotError(f"sensor {sensor.get('sensor_id')!r}", "is no audio", "leave it out")
            frame.add_audio(**{key: value for key, value in sensor.items() if key != "sensor_type"})
        if place := content.get("geo_data"):
            frame.add_geo_latlong_data(**place)
        frame._reuses_embedding = bool(content.get("reuse_latest_embedding"))
        frame._take_labels(content)
        frame._take_metadata(content)
        return frame


class UnlabeledFrame(LabeledFrame):
    """A frame of an unlabelled data set, whose labels are proposals with a confidence.

    Args:
        frame_id, date_captured, device_id, update_type: see LabeledFrame.
        reuse_latest_embedding: keep the embeddings that the data set has of the frame.
    """

    def __init__(
        self,
        *,
        frame_id: str,
        date_captured: str | None = None,
        device_id: str | None = None,
        reuse_latest_embedding: bool = False,
        update_type: str = "ADD",
    ) -> None:
        super().__init__(frame_id=frame_id, date_captured=date_captured, device_id=device_id, update_type=update_type)
        self._reuses_embedding = reuse_latest_embedding
