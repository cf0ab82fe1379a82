"""Frames of inference sets: what a model predicts in a frame of a data set."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from lib.core.errors import EarshotError
from lib.curation.frames.entry_names import check_entry_name
from lib.curation.frames.foreign_methods import with_foreign
from lib.curation.frames.frame_parts import Content, EmbeddedFrame
from lib.curation.frames.label_kinds import is_number
from lib.curation.frames.label_methods import ADD, ADD_INFERENCE, with_labels


def _is_matrix(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) > 0
        and all(
            isinstance(row, list | tuple) and len(row) == len(value[0]) and all(map(is_number, row)) for row in value
        )
    )


@with_foreign(["add", "add_inference"])
@with_labels(ADD, ADD_INFERENCE)
class InferencesFrame(EmbeddedFrame):
    """The predictions in a frame of a data set.

    Args:
        frame_id: of the data set's frame.
        reuse_latest_embedding: keep the embeddings that the inference set has of the frame.
        update_type: see LabeledFrame.
    """

    if TYPE_CHECKING:  # the methods of labels are derived

        def __getattr__(self, name: str) -> Any: ...

    def __init__(self, *, frame_id: str, reuse_latest_embedding: bool = False, update_type: str = "ADD") -> None:
        super().__init__(frame_id, update_type)
        self._reuses_embedding = reuse_latest_embedding

    def add_custom_metric(self, name: str, value: Any) -> None:
        """Add a value of one of the project's custom metrics.

        Args:
            name: of a CustomMetricsDefinition.
            value: a number (objective), or a matrix as lists of numbers of one length (confusion_matrix).
        """
        check_entry_name("custom metric", name)
        if not (is_number(value) or _is_matrix(value)):
            fault = f"{str(value)[:100]!r} is no number and no matrix"
            raise EarshotError(f"custom metric {name!r}", fault, "give a finite number or lists of them")
        self._custom_metrics[name] = value

    def to_dict(self) -> Content:
        content = super().to_dict()
        return content | ({"reuse_latest_embedding": True} if self._reuses_embedding else {})

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """The frame of which to_dict gave this. Raises EarshotError where it is damaged."""
        frame = cls(
            frame_id=content["frame_id"],
            reuse_latest_embedding=bool(content.get("reuse_latest_embedding")),
            update_type=content.get("update_type", "ADD"),
        )
        for name, value in (content.get("custom_metrics") or {}).items():
            frame.add_custom_metric(name, value)
        frame._take_labels(content)
        frame._take_metadata(content)
        return frame
