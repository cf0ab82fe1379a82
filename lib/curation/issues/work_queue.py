"""Work queues: issues whose elements people work through in batches."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class WorkQueueElement:
    """A frame or label in a work queue.

    Args:
        element_id, frame_id, element_type, dataset, inference_set, label_metadata: see IssueElement.
        batch_name: the batch that it is in.
        status: queued, assigned or done.
        assignee: who works on its batch.
    """

    element_id: str
    frame_id: str
    element_type: str
    dataset: str
    batch_name: str
    status: str
    assignee: str | None = None
    inference_set: str | None = None
    label_metadata: dict[str, Any] | None = None


@dataclass
class WorkQueue:
    """Elements that people work through in batches.

    Args:
        name: what people call it.
        dataset, inference_set: whose frames and labels they are.
        element_count: how many there are.
        element_type: frame or crop.
        work_queue_id: id of the issue.
        batch_statuses: queued, assigned or done, of each batch by its name.
        batch_assignees: who works on a batch, of those that are assigned or done.
        elements: None where only counts were asked for.
        created_at, updated_at: ISO 8601.
    """

    name: str
    dataset: str | None
    element_count: int
    element_type: str
    work_queue_id: str
    batch_statuses: dict[str, str] = field(default_factory=dict)
    batch_assignees: dict[str, str] = field(default_factory=dict)
    elements: list[WorkQueueElement] | None = None
    created_at: str | None = None
    updated_at: str | None = None
    inference_set: str | None = None
