"""Updates of labels in frames that a data set has."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from lib.curation.frames.foreign_methods import with_foreign
from lib.curation.frames.frame_parts import FrameParts
from lib.curation.frames.label_methods import ADD, ADD_LABEL, UPDATE_LABEL, with_labels


@with_foreign(["add", "add_label", "update_label"])
@with_labels(ADD, ADD_LABEL, UPDATE_LABEL)
class UpdateGTLabelSet(FrameParts):
    """New labels of a frame, and changes of labels that it has. Its other labels stay.

    Args:
        frame_id: of the frame.
        is_snapshot: kept for scripts that set it; labels are always added to.
    """

    if TYPE_CHECKING:  # the methods of labels are derived

        def __getattr__(self, name: str) -> Any: ...

    def __init__(self, *, frame_id: str, is_snapshot: bool = True) -> None:
        super().__init__(frame_id, "MODIFY")
        self.is_snapshot = is_snapshot

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """The update of which to_dict gave this. Raises EarshotError where it is damaged."""
        update = cls(frame_id=content["frame_id"])
        update._take_labels(content)
        return update
