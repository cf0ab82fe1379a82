"""What a frame is after an upload: new content, or changes on top of what was there."""

from collections.abc import Mapping
from typing import Any

from lib.core.errors import EarshotError, Problem
from lib.curation.frames.label_kinds import checked_label

Content = dict[str, Any]
STORED_PARTS: dict[str, Any] = {"date_captured": None, "device_id": None, "sensor_data": [], "user_metadata": []}
STORED_PARTS |= {"geo_data": {}, "custom_metrics": {}, "label_data": []}
"""What is stored of a frame besides its id, and what it is where a frame has none."""
KEYS = {"sensor_data": "sensor_id", "user_metadata": "key", "label_data": "label_id"}
"""Parts that are lists, and what tells their entries apart."""


def added(entry: Mapping[str, Any]) -> Content:
    """The content of a frame that is added."""
    return {"frame_id": entry["frame_id"]} | {part: entry.get(part, empty) for part, empty in STORED_PARTS.items()}


def modified(before: Mapping[str, Any], entry: Mapping[str, Any]) -> tuple[Content, list[Problem]]:
    """The content of a frame after a change, and a Problem for each change of a label that it does not have.

    Raises EarshotError if a change makes a label impossible.
    """
    content, problems = dict(before), list[Problem]()
    for part, empty in STORED_PARTS.items():
        change = entry.get(part)
        if not change:
            continue
        if part in KEYS:
            key = KEYS[part]
            content[part] = list(({each[key]: each for each in before[part]} | {e[key]: e for e in change}).values())
        else:
            content[part] = before[part] | change if isinstance(empty, dict) else change
    labels = {label["label_id"]: label for label in content["label_data"]}
    for change in entry.get("label_updates", ()):
        label_id, kind = change["label_id"], change["label_type"]
        if label_id not in labels:
            fault, remedy = f"label {label_id!r}: the frame has none of this id", "its update was dropped; add it"
            problems.append(Problem(entry["frame_id"], fault, remedy))
        elif labels[label_id]["label_type"] != kind:
            fault = f"is a {labels[label_id]['label_type']}, not a {kind}"
            raise EarshotError(f"label {label_id!r}", fault, "add it as another kind under another id")
        else:
            labels[label_id] = checked_label(kind, labels[label_id] | change)
    content["label_data"] = list(labels.values())
    return content, problems
