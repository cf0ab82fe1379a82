"""Issues and their elements, as people read and write them."""

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

IssueType = Literal[
    "Split",
    "Regression Test",
    "Scenario",
    "Collection Campaign",
    "Label Quality",
    "Bucket",
    "Frame Issue",
    "Work Queue",
]
IssueState = Literal["triage", "inProgress", "inReview", "resolved", "cancelled"]
ElementType = Literal["frame", "crop"]
CropType = Literal["label", "inference"]
ElementStatus = Literal["unstarted", "done"]
ISSUE_TYPES: tuple[IssueType, ...] = get_args(IssueType)
ISSUE_STATES: tuple[IssueState, ...] = get_args(IssueState)
ELEMENT_TYPES: tuple[ElementType, ...] = get_args(ElementType)
CROP_TYPES: tuple[CropType, ...] = get_args(CropType)
ELEMENT_STATUSES: tuple[ElementStatus, ...] = get_args(ElementStatus)
WORK_QUEUE: IssueType = "Work Queue"


@dataclass
class IssueElement:
    """A frame, or a label in it (a crop), that belongs to an issue.

    Args:
        element_id: of a frame, its ID; of a crop, that of the label.
        frame_id: the frame.
        element_type: frame or crop.
        dataset: the data set, `name` or `project.name`.
        crop_type: where a crop is from: label (the data set) or inference; None: a frame.
        status: unstarted or done; to read.
        inference_set: of a crop that is an inference.
        frame_data: the frame as its to_dict gives it; to read.
        crop_data: the label among them; to read.
        label_metadata: what else is known, such as confidence and IoU of a confusion.
        comments: on the element; to read.
        updated_at: ISO 8601; to read.
    """

    element_id: str
    frame_id: str
    element_type: str
    dataset: str
    crop_type: str | None = None
    status: str | None = None
    inference_set: str | None = None
    frame_data: dict[str, Any] | None = None
    crop_data: dict[str, Any] | None = None
    label_metadata: dict[str, Any] | None = None
    comments: list[dict[str, Any]] | None = None
    updated_at: str | None = None


@dataclass
class Issue:
    """Frames or labels that people set aside for a reason.

    Args:
        name: what people call it.
        dataset: whose frames they are.
        elements: its frames or crops.
        element_type: frame or crop.
        created_at, updated_at: ISO 8601.
        reporter: who made it; "": unknown.
        assignee: who is to deal with it.
        state: triage, inProgress, inReview, resolved or cancelled.
        issue_id: unique.
        inference_set: whose inferences belong to it.
        comments: on the issue: author, content, created_at.
        template_type: one of ISSUE_TYPES.
        custom_template_fields: what its type needs besides.
    """

    name: str
    dataset: str | None
    elements: list[IssueElement]
    element_type: str
    created_at: str | None = None
    updated_at: str | None = None
    reporter: str = ""
    assignee: str | None = None
    state: str | None = None
    issue_id: str | None = None
    inference_set: str | None = None
    comments: list[dict[str, Any]] | None = None
    template_type: str | None = None
    custom_template_fields: dict[str, Any] = field(default_factory=dict)
