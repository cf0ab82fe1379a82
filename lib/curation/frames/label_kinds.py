"""The kinds of labels on sound: what each holds, what is allowed in it, and what stretch of time and band it covers.

Times are seconds from the start of the recording, and frequencies Hz: where the reference has pixels of a picture, x is
time and y is frequency. The top of a box is its highest frequency; where top and height are None, a box has all
frequencies.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple

from lib.core.errors import EarshotError
from lib.curation.frames.entry_names import name_fault
from lib.curation.frames.spectrogram_masks import decoded_mask, encoded_mask, mask_of_picture
from lib.results.predictions import as_json

DEFAULT_SENSOR = "DEFAULT"
Values = Mapping[str, Any]


class Extent(NamedTuple):
    """Times (s) and frequencies (Hz) of a label; None: those of the frame."""

    start_time: float | None
    end_time: float | None
    low_freq: float | None
    high_freq: float | None


WHOLE_FRAME = Extent(None, None, None, None)


class LabelField(NamedTuple):
    """A value of a label.

    Args:
        meaning: for help().
        is_valid: what values it may have besides None.
        rule: that in words.
        required: whether a label must have one.
    """

    meaning: str
    is_valid: Callable[[Any], bool]
    rule: str
    required: bool = False


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    try:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer beyond all floats
        return False


def _is_time(value: Any) -> bool:
    return is_number(value) and value >= 0


def _is_share(value: Any) -> bool:
    return is_number(value) and 0 <= value <= 1


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping) and as_json(value) is not None


def _is_point(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2 and all(map(_is_time, value))


def _is_list(value: Any, is_valid: Callable[[Any], bool]) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and all(map(is_valid, value))


def _is_polygon(value: Any) -> bool:
    return isinstance(value, Mapping) and _is_list(value.get("vertices"), _is_point) and len(value["vertices"]) >= 3


def _is_key_point(value: Any) -> bool:
    return (
        isinstance(value, Mapping) and all(_is_time(value.get(axis)) for axis in "xy") and _is_text(value.get("name"))
    )


def _is_instance(value: Any) -> bool:
    if not isinstance(value, Mapping) or as_json(value) is None:
        return False
    attributes = value.get("attributes")
    is_named = type(value.get("id")) is int and _is_text(value.get("classification"))
    return is_named and (attributes is None or isinstance(attributes, Mapping))


def _is_encoded(value: Any) -> bool:
    try:
        decoded_mask(value)
    except EarshotError:
        return False
    return True


def _time(meaning: str, required: bool = True) -> LabelField:
    return LabelField(f"{meaning}, s from the start of the recording", _is_time, "must be seconds, 0 or more", required)


def _frequency(meaning: str, required: bool = True) -> LabelField:
    return LabelField(f"{meaning}, Hz", _is_time, "must be Hz, 0 or more", required)


_POLYGONS = LabelField(
    "[{'vertices': [[s, Hz], ...]}, ...]; a polygon need not be closed",
    lambda value: _is_list(value, _is_polygon),
    "must be polygons of at least three vertices [s, Hz]",
)
_CENTER = LabelField("[s, Hz] of the middle", _is_point, "must be [s, Hz]")
_CROWD = LabelField("whether many sounds are in it", lambda value: isinstance(value, bool), "must be True or False")
_LINKS = LabelField("ids of other labels, by name of the link", _is_mapping, "must be a mapping that JSON can hold")
_AREA = LabelField("s x Hz", _is_time, "must be a number, 0 or more")
_SECONDARY = LabelField("classes by name of a secondary label", _is_mapping, "must be a mapping that JSON can hold")
_MASK = {
    "mask_url": LabelField("path of a PNG picture whose pixels are numbers", _is_text, "must be a path"),
    "mask_data": LabelField("the mask, int (height, width), row 0 the lowest frequency", _is_encoded, "must be a mask"),
    "resize_mode": LabelField(
        "'fill' or None; a mask always covers its whole frame", lambda value: value == "fill", "must be 'fill' or None"
    ),
}
_INSTANCES = LabelField(
    "[{'id': number in the mask, 'classification': class, 'attributes': {...}}, ...]",
    lambda value: _is_list(value, _is_instance),
    "must be a list of mappings with id and classification",
    required=True,
)
_BOX = {
    "top": _frequency("highest frequency", required=False),
    "left": _time("start"),
    "width": LabelField("duration, s", _is_time, "must be seconds, 0 or more", required=True),
    "height": LabelField("width of the band, Hz", _is_time, "must be Hz, 0 or more", required=False),
}
IDENTITY = {
    "label_id": LabelField(
        "unique within its data set or inference set",
        lambda value: not name_fault(value),
        "must be a text of 1 to 1,000 characters without control characters",
        required=True,
    ),
    "sensor_id": LabelField("the frame's sensor that it is about", _is_text, "must be a text"),
}
CLASS = {"classification": LabelField("the class", _is_text, "must be the name of a class", required=True)}
COMMON = {
    "confidence": LabelField("0..1", _is_share, "must be within 0..1"),
    "user_attrs": LabelField("further fields by name", _is_mapping, "must be a mapping that JSON can hold"),
}


class LabelKind(NamedTuple):
    """A kind of label.

    Args:
        what: in words.
        geometry: the fields that say where it is, by name.
        extent: what a label covers; None: it is a mask, which knows shares of the frame only.
        extras: further fields.
    """

    what: str
    geometry: dict[str, LabelField]
    extent: Callable[[Values], Extent] | None
    extras: dict[str, LabelField]

    @property
    def fields(self) -> dict[str, LabelField]:
        """All fields, by name, in the order of the methods' parameters."""
        if self.extent is None:
            return IDENTITY | self.geometry | self.extras
        return IDENTITY | CLASS | self.geometry | COMMON | self.extras


def _box_extent(values: Values) -> Extent:
    top, height = values.get("top"), values.get("height")
    if (top is None) != (height is None):
        raise EarshotError("box", "has only one of top and height", "give both, or neither for all frequencies")
    if top is not None and height > top:
        raise EarshotError("box", f"reaches below 0 Hz (top {top}, height {height})", "top is the highest frequency")
    low = None if top is None else top - height
    return Extent(values["left"], values["left"] + values["width"], low, top)


def _around(points: Sequence[tuple[float, float]]) -> Extent:
    times, frequencies = zip(*points, strict=True)
    return Extent(min(times), max(times), min(frequencies), max(frequencies))


def _polygon_extent(values: Values) -> Extent:
    return _around([(x, y) for polygon in values["polygons"] for x, y in polygon["vertices"]])


def _line_extent(values: Values) -> Extent:
    return _around([(values["x1"], values["y1"]), (values["x2"], values["y2"])])


def _key_point_extent(values: Values) -> Extent:
    if all(values.get(name) is not None for name in _BOX):
        return _box_extent(values)
    if values.get("polygons") is not None:
        return _polygon_extent(values)
    return _around([(point["x"], point["y"]) for point in values["keypoints"]])


LABEL_KINDS = {
    "2d_bbox": LabelKind(
        "a box in time and frequency", _BOX, _box_extent, {"area": _AREA, "iscrowd": _CROWD, "links": _LINKS}
    ),
    "2d_classification": LabelKind(
        "a class that is heard in the frame", {}, lambda values: WHOLE_FRAME, {"secondary_labels": _SECONDARY}
    ),
    "2d_polygon_list": LabelKind(
        "a sound outlined by polygons",
        {"polygons": _POLYGONS._replace(required=True)},
        _polygon_extent,
        {"center": _CENTER},
    ),
    "2d_line_segment": LabelKind(
        "a line, such as a whistle that rises",
        {f"{axis}{n}": _time("time") if axis == "x" else _frequency("frequency") for n in "12" for axis in "xy"},
        _line_extent,
        {"iscrowd": _CROWD, "links": _LINKS},
    ),
    "2d_keypoints": LabelKind(
        "named points of a sound, such as the peak of a call",
        {
            "keypoints": LabelField(
                "[{'x': s, 'y': Hz, 'name': name}, ...]",
                lambda value: _is_list(value, _is_key_point),
                "must be a list of mappings with x, y and name",
                required=True,
            )
        },
        _key_point_extent,
        {name: field._replace(required=False) for name, field in _BOX.items()}
        | {"polygons": _POLYGONS, "center": _CENTER},
    ),
    "2d_semseg": LabelKind("a mask of classes by their class_id", _MASK, None, {}),
    "2d_instance_seg": LabelKind("a mask of numbered sounds", _MASK, None, {"instance_mapping": _INSTANCES}),
}


def checked_label(kind: str, values: Values, is_update: bool = False) -> dict[str, Any]:
    """The values of a label as they are stored: those that are not None, with its kind as label_type.

    Args:
        kind: one of LABEL_KINDS.
        values: by the names of its fields.
        is_update: whether fields may be missing, since an existing label has them.

    Raises EarshotError for values that the kind does not allow.
    """
    fields = LABEL_KINDS[kind].fields
    subject = f"label {str(values.get('label_id'))[:100]!r}"
    label: dict[str, Any] = {"label_type": kind}
    if unknown := values.keys() - fields.keys() - {"label_type"}:
        raise EarshotError(subject, f"{kind} has no field {sorted(unknown)[0]!r}", f"it has {', '.join(fields)}")
    for name, field in fields.items():
        value = values.get(name)
        if value is None:
            if field.required and not (is_update and name != "label_id"):
                raise EarshotError(subject, f"{kind} needs {name}", f"{name}: {field.meaning}")
            continue
        if name == "mask_data" and not isinstance(value, Mapping):
            value = encoded_mask(value)
        if name == "mask_url" and isinstance(value, str) and values.get("mask_data") is None:
            label["mask_data"] = encoded_mask(mask_of_picture(value))
        if hasattr(value, "item") and not isinstance(value, Mapping):  # a number of NumPy
            value = value.item()
        if not field.is_valid(value):
            raise EarshotError(subject, f"{name} = {repr(value)[:100]} {field.rule}", "correct it")
        label[name] = value
    if is_update:
        return label
    label.setdefault("sensor_id", DEFAULT_SENSOR)
    label_extent(label)
    if LABEL_KINDS[kind].extent is None and "mask_data" not in label:
        raise EarshotError(subject, f"{kind} needs mask_url or mask_data", "give one of them")
    return label


def label_extent(label: Values) -> Extent:
    """What a label covers by itself, whatever its frame. Raises EarshotError if that is impossible."""
    extent = LABEL_KINDS[label["label_type"]].extent
    return WHOLE_FRAME if extent is None else extent(label)
