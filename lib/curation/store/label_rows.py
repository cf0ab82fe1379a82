"""What the labels of a frame say, as rows of the Crop table."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from lib.audio.reader import probe
from lib.core.errors import EarshotError
from lib.core.files import project_root
from lib.curation.frames.label_kinds import label_extent
from lib.curation.frames.labeled_frame import audio_place
from lib.curation.frames.spectrogram_masks import decoded_mask, mask_regions

OBJECT_TYPES: dict[str, type | tuple[type, ...]] = {
    "STRING": str,
    "BOOL": bool,
    "NUMERIC": (int, float),
    "INTEGER": int,
    "FLOAT": (int, float),
}
"""Types of labels' user metadata, by their names in the schema."""


class FramePlace(NamedTuple):
    """Where a frame lies.

    Args:
        recording: its name; "": unknown.
        audio_url: of the recording; "": unknown.
        start_time, end_time: s; end_time None: to the end of the recording.
    """

    recording: str
    audio_url: str
    start_time: float
    end_time: float | None


class LabelRules(NamedTuple):
    """What labels of a set may be.

    Args:
        classes: class_id by name.
        object_fields: types of user metadata by name, see OBJECT_TYPES; those of other names are free.
    """

    classes: Mapping[str, int]
    object_fields: Mapping[str, str]


def place_of(content: Mapping[str, Any]) -> FramePlace:
    """Where a frame lies, by its first sensor."""
    sensors = content.get("sensor_data") or ()
    if not sensors:
        return FramePlace("", "", 0.0, None)
    place, recording, start, end = audio_place(sensors[0]["audio_url"])
    return FramePlace(recording, place, start, end)


def rows_of_labels(content: Mapping[str, Any], place: FramePlace, rules: LabelRules) -> list[dict[str, Any]]:
    """The rows of a frame's labels, without their frame. Raises EarshotError for a label that breaks a rule."""
    sensors = {sensor["sensor_id"] for sensor in content.get("sensor_data", ())}
    rows: list[dict[str, Any]] = []
    for label in content["label_data"]:
        if len(sensors) > 1 and label["sensor_id"] not in sensors:
            fault = f"is about sensor {label['sensor_id']!r}, which the frame does not have"
            raise EarshotError(f"label {label['label_id']!r}", fault, f"it has {', '.join(sorted(sensors))}")
        rows += _rows_of_mask(label, place, rules) if "mask_data" in label else [_row(label, rules)]
    return rows


def _row(label: Mapping[str, Any], rules: LabelRules) -> dict[str, Any]:
    subject, attributes = f"label {label['label_id']!r}", label.get("user_attrs", {})
    _check_class(subject, label["classification"], rules)
    for name in attributes.keys() & rules.object_fields.keys():
        if not is_of_type(attributes[name], rules.object_fields[name]):
            fault = f"{name} = {str(attributes[name])[:100]!r} is no {rules.object_fields[name]}"
            raise EarshotError(subject, fault, "see get_dataset_object_metadata_schema")
    extent = label_extent(label)
    times = {"StartTime": extent.start_time, "EndTime": extent.end_time}
    band = {"LowFreq": extent.low_freq, "HighFreq": extent.high_freq}
    named = {"Name": label["label_id"], "Kind": label["label_type"], "Class": label["classification"]}
    return named | times | band | {"Confidence": label.get("confidence"), "Attributes": attributes}


def _rows_of_mask(label: Mapping[str, Any], place: FramePlace, rules: LabelRules) -> Iterator[dict[str, Any]]:
    """A row for each class or instance in a mask: the smallest box around it."""
    subject = f"label {label['label_id']!r}"
    instances = {each["id"]: each for each in label.get("instance_mapping", ())}
    if not instances:
        instances = {number: {"classification": name} for name, number in rules.classes.items()}
    if not place.audio_url:
        raise EarshotError(subject, "is a mask on a frame without sound", "add_audio to the frame")
    info = probe(project_root() / place.audio_url.removeprefix("file://"))
    seconds = (info.seconds if place.end_time is None else place.end_time) - place.start_time
    for value, start, end, low, high in mask_regions(decoded_mask(label["mask_data"])):
        if (instance := instances.get(value)) is None:
            continue  # background
        _check_class(subject, instance["classification"], rules)
        times = {"StartTime": place.start_time + start * seconds, "EndTime": place.start_time + end * seconds}
        band = {"LowFreq": low * info.sampling_rate / 2, "HighFreq": high * info.sampling_rate / 2}
        named = {"Name": f"{label['label_id']}/{value}", "Kind": label["label_type"]}
        attributes = instance.get("attributes") or {}
        yield (
            named
            | times
            | band
            | {
                "Class": instance["classification"],
                "Confidence": None,
                "Attributes": attributes,
            }
        )


def _check_class(subject: str, name: str, rules: LabelRules) -> None:
    if name not in rules.classes:
        raise EarshotError(subject, f"the project has no class {name!r}", "add it to the label class map")


def is_of_type(value: Any, type_name: str) -> bool:
    """Whether a value has a type of the schema: one of OBJECT_TYPES, or ARRAY<one of them>."""
    if type_name.startswith("ARRAY<"):
        return isinstance(value, list) and all(is_of_type(each, type_name[6:-1]) for each in value)
    return isinstance(value, OBJECT_TYPES[type_name]) and (type_name == "BOOL" or not isinstance(value, bool))
