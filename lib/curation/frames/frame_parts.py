"""What frames of all kinds have besides labels: metadata, embeddings, custom metrics."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lib.core.errors import EarshotError
from lib.curation.frames.entry_names import check_entry_name
from lib.curation.frames.label_kinds import LABEL_KINDS, checked_label, is_number

UPDATE_TYPES = ("ADD", "MODIFY", "DELETE")
METADATA_TYPES: dict[str, type | tuple[type, ...]] = {"str": str, "int": int, "float": (int, float), "bool": bool}
LONGEST_EMBEDDING = 12_000
Content = dict[str, Any]


def type_name(value: Any) -> str:
    """The metadata type of a value: str, int, float or bool. Raises EarshotError for any other value."""
    name = type(value).__name__
    if name not in METADATA_TYPES or (name == "float" and not math.isfinite(value)):
        raise EarshotError("user metadata", f"{str(value)[:100]!r} is no text, number or bool", "convert it")
    return name


def typed_field(key: Any, value: Any, value_type: str | None) -> Content:
    """A field of user metadata. Raises EarshotError for a key, value or type that is not allowed."""
    check_entry_name("metadata field", key)
    given = type_name(value)
    value_type = value_type or given
    if value_type not in METADATA_TYPES:
        raise EarshotError(f"metadata field {key!r}", f"has no type {value_type!r}", "give str, int, float or bool")
    if given != value_type and not (value_type == "float" and given == "int"):
        raise EarshotError(f"metadata field {key!r}", f"{value!r} is no {value_type}", "convert it")
    return {"key": key, "type": value_type, "value": value}


def typed_list_field(key: Any, values: Any, element_type: str | None) -> Content:
    """A field of user metadata that is a list, whose elements are of one type. Raises EarshotError."""
    if not isinstance(values, list | tuple):
        raise EarshotError(f"metadata field {key!r}", "must be a list", "use add_user_metadata for a single value")
    entries = [typed_field(key, value, element_type) for value in values]
    types = {entry["type"] for entry in entries} or {element_type or "str"}
    if types == {"int", "float"}:
        types = {"float"}
    if len(types) > 1:
        raise EarshotError(f"metadata field {key!r}", f"mixes {', '.join(sorted(types))}", "give one type of elements")
    return {"key": key, "type": f"list[{types.pop()}]", "value": list(values)}


def checked_vector(subject: str, vector: Any) -> list[float]:
    """An embedding as plain numbers. Raises EarshotError unless it has 2 to LONGEST_EMBEDDING finite ones."""
    values = vector.tolist() if hasattr(vector, "tolist") else vector
    is_list = isinstance(values, Sequence) and not isinstance(values, str)
    if not (is_list and 2 <= len(values) <= LONGEST_EMBEDDING and all(map(is_number, values))):
        fault = f"its embedding must have 2 to {LONGEST_EMBEDDING} finite numbers"
        raise EarshotError(subject, fault, "give a vector of floats")
    return [float(value) for value in values]


class FrameParts:
    """The base of frames and of updates of their labels. What it holds is plain data, see to_dict.

    frame_id: unique within its data set. update_type: ADD replaces what the set has of the frame, MODIFY is applied on
        top of it, DELETE removes it.
    """

    def __init__(self, frame_id: str, update_type: str = "ADD") -> None:
        check_entry_name("frame", frame_id)
        if update_type not in UPDATE_TYPES:
            raise EarshotError(
                f"frame {frame_id!r}", f"update_type {update_type!r} is unknown", "ADD, MODIFY or DELETE"
            )
        self.frame_id, self.update_type = frame_id, update_type
        self._labels: dict[str, Content] = {}
        self._updates: dict[str, Content] = {}
        self._metadata: dict[str, Content] = {}
        self._custom_metrics: Content = {}
        self._frame_embeddings: dict[str, list[float]] = {}
        self._crop_embeddings: dict[tuple[str, str], list[float]] = {}

    def _put_label(self, label: Content, is_update: bool) -> None:
        """Keep a label or an update of one."""
        label_id = label["label_id"]
        known = self._updates if is_update else self._labels
        if label_id in known:
            raise EarshotError(f"label {label_id!r}", f"frame {self.frame_id!r} has it twice", "give it another id")
        known[label_id] = label

    def add_crop_embedding(self, *, label_id: str, embedding: Sequence[float], model_id: str = "") -> None:
        """Add the embedding of a label's sound.

        Args:
            label_id: of the label.
            embedding: 2 to 12,000 numbers.
            model_id: what made it.
        """
        check_entry_name("label", label_id)
        self._crop_embeddings[label_id, str(model_id)] = checked_vector(f"label {label_id!r}", embedding)

    def to_dict(self) -> Content:
        """The frame as plain data, a line of the streams that carry it."""
        content: Content = {"frame_id": self.frame_id, "update_type": self.update_type}
        content |= {"label_data": list(self._labels.values())}
        if self._updates:
            content["label_updates"] = list(self._updates.values())
        if self._crop_embeddings:
            content["crop_embeddings"] = [
                {"label_id": label_id, "model_id": model, "embedding": vector}
                for (label_id, model), vector in self._crop_embeddings.items()
            ]
        return content

    def _take_labels(self, content: Mapping[str, Any]) -> None:
        """Add what to_dict gave of another frame's labels and their embeddings. Raises EarshotError."""
        for part, is_update in (("label_data", False), ("label_updates", True)):
            for label in content.get(part) or ():
                kind = label.get("label_type")
                if kind not in LABEL_KINDS:
                    subject = f"label {str(label.get('label_id'))[:100]!r}"
                    raise EarshotError(subject, f"label_type {kind!r} is unknown", f"use {', '.join(LABEL_KINDS)}")
                self._put_label(checked_label(kind, label, is_update), is_update)
        for crop in content.get("crop_embeddings") or ():
            self.add_crop_embedding(
                label_id=crop["label_id"], embedding=crop["embedding"], model_id=crop.get("model_id", "")
            )


class EmbeddedFrame(FrameParts):
    """A frame that has an embedding and user metadata of its own."""

    def add_frame_embedding(self, *, embedding: Sequence[float], model_id: str = "") -> None:
        """Add the embedding of the whole frame.

        Args:
            embedding: 2 to 12,000 numbers.
            model_id: what made it.
        """
        self._frame_embeddings[str(model_id)] = checked_vector(f"frame {self.frame_id!r}", embedding)

    def add_user_metadata(self, key: str, val: Any, val_type: str | None = None) -> None:
        """Add a field of metadata, such as the site or the month, by which frames can be searched and metrics split.

        Args:
            key: its name.
            val: a text, number or bool.
            val_type: str, int, float or bool; None: that of the value.
        """
        self._metadata[key] = typed_field(key, val, val_type)

    def validate_and_backfill_crop_embeddings(self) -> bool:
        """Give labels without an embedding that of their frame; returns whether any needed it."""
        missing = [
            (label_id, model)
            for model in self._frame_embeddings
            for label_id in self._labels
            if not any(label == label_id for label, _ in self._crop_embeddings)
        ]
        for label_id, model in missing:
            self._crop_embeddings[label_id, model] = self._frame_embeddings[model]
        return bool(missing)

    def to_dict(self) -> Content:
        content = super().to_dict() | {"user_metadata": list(self._metadata.values())}
        content["custom_metrics"] = self._custom_metrics
        if self._frame_embeddings:
            content["frame_embeddings"] = self._frame_embeddings
        return content

    def _take_metadata(self, content: Mapping[str, Any]) -> None:
        for entry in content.get("user_metadata") or ():
            is_list = isinstance(entry["value"], list)
            make, kind = (typed_list_field if is_list else typed_field), entry.get("type")
            kind = kind[5:-1] if is_list and kind else kind
            self._metadata[entry["key"]] = make(entry["key"], entry["value"], kind)
        for model, vector in (content.get("frame_embeddings") or {}).items():
            self.add_frame_embedding(embedding=vector, model_id=model)
