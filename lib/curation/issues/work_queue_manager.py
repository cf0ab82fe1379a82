"""The work queues of a project, as Aquarium's client shows them, and the batches that people claim."""

from typing import TYPE_CHECKING

from sqlalchemy import Row

from lib.core.errors import EarshotError
from lib.curation.issues import work_batches
from lib.curation.issues.issue import WORK_QUEUE
from lib.curation.issues.issue_store import IssueStore
from lib.curation.issues.work_queue import WorkQueue, WorkQueueElement

if TYPE_CHECKING:
    from lib.curation.client.client import Client


class WorkQueueManager:
    """Work queues of a project. Methods raise EarshotError for queues and batches that there are not.

    A person claims a batch, which nobody else gets then, and finishes it or gives it back. One that was abandoned is
    free again after work_batches.CLAIM_HOURS.

    Args:
        client: of the curation database.
        project_id: the project.
    """

    def __init__(self, client: "Client", project_id: str) -> None:
        self._database = client.database
        self._store = IssueStore(client.database, client.catalog.project(project_id).ID)

    def list_work_queues(self) -> list[WorkQueue]:
        """All work queues, the oldest first, with the numbers of their elements alone."""
        rows = [row for row in self._store.issues() if row.Type == WORK_QUEUE]
        counts = self._store.element_counts()
        batches = self._store.batches([row.ID for row in rows])
        return [_queue_of(row, counts.get(row.ID, 0), batches[row.ID]) for row in rows]

    def get_work_queue(self, work_queue_id: str) -> WorkQueue:
        """A work queue with its elements."""
        row = self._queue(work_queue_id)
        batches = self._store.batches([row.ID])[row.ID]
        by_number = {batch.ID: batch for batch in batches}
        elements = [
            WorkQueueElement(
                element_id=element.Name,
                frame_id=element.FrameName,
                element_type=element.ElementType,
                dataset=element.Dataset,
                batch_name=by_number[element.WorkBatchID].Name,
                status=work_batches.DONE if element.Status == "done" else by_number[element.WorkBatchID].Status,
                assignee=by_number[element.WorkBatchID].Assignee,
                inference_set=element.InferenceSet,
                label_metadata=dict(element.Metadata),
            )
            for element in self._store.elements([row.ID])
            if element.WorkBatchID in by_number  # else it was added this moment
        ]
        queue = _queue_of(row, len(elements), batches)
        queue.elements = elements
        return queue

    def claim_batch(
        self, work_queue_id: str, assignee: str, claim_hours: float = work_batches.CLAIM_HOURS
    ) -> str | None:
        """Give a person a batch that nobody works on; returns its name, or None where all are taken or done.

        claim_hours: after which a batch that its assignee has not touched is free again.
        """
        if not isinstance(assignee, str) or not assignee.strip():
            raise EarshotError(f"assignee {assignee!r}", "must be a name or an address")
        return work_batches.claim(self._database, self._queue(work_queue_id).ID, assignee, claim_hours)

    def touch_batch(self, work_queue_id: str, batch_name: str, assignee: str) -> None:
        """Note that a person still works on their batch."""
        work_batches.touch(self._database, self._queue(work_queue_id).ID, batch_name, assignee)

    def finish_batch(self, work_queue_id: str, batch_name: str, assignee: str) -> None:
        """Note that a person has done their batch, and so its elements."""
        work_batches.finish(self._database, self._queue(work_queue_id).ID, batch_name, assignee)

    def give_back_batch(self, work_queue_id: str, batch_name: str, assignee: str) -> None:
        """Let others claim a person's batch."""
        work_batches.give_back(self._database, self._queue(work_queue_id).ID, batch_name, assignee)

    def _queue(self, work_queue_id: str) -> Row:
        row = self._store.issue(work_queue_id)
        if row.Type != WORK_QUEUE:
            raise EarshotError(f"issue {row.Name!r}", f"is a {row.Type}, no work queue", "see list_work_queues")
        return row


def _queue_of(row: Row, n: int, batches: list[Row]) -> WorkQueue:
    return WorkQueue(
        name=row.Name,
        dataset=row.Dataset,
        element_count=n,
        element_type=row.ElementType,
        work_queue_id=row.Uuid,
        batch_statuses={batch.Name: batch.Status for batch in batches},
        batch_assignees={batch.Name: batch.Assignee for batch in batches if batch.Assignee is not None},
        created_at=row.CreatedAt,
        updated_at=row.UpdatedAt,
        inference_set=row.InferenceSet,
    )
