"""Batches of work queues: elements dealt out so that no two people get the same ones."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Row, Select, delete, func, insert, or_, select, update

from lib.core.errors import EarshotError
from lib.curation.store.curation_database import CurationDatabase, utc_now
from lib.curation.store.curation_tables import ISSUE_ELEMENT, WORK_BATCH

QUEUED, ASSIGNED, DONE = "queued", "assigned", "done"
CLAIM_HOURS = 24.0
"""After which others may take a batch that its assignee has not touched."""
_NAME = "batch "


def deal_out(connection: Connection, issue: int, size: int) -> None:
    """Put the elements of a work queue that are in no batch into batches of that size, within a transaction.

    A last batch that is not full and that nobody has taken yet is filled up first.
    """
    query = select(ISSUE_ELEMENT.c.ID).where(ISSUE_ELEMENT.c.IssueID == issue, ISSUE_ELEMENT.c.WorkBatchID.is_(None))
    waiting = list(connection.execute(query.order_by(ISSUE_ELEMENT.c.ID)).scalars())
    last = connection.execute(_batches(issue).order_by(WORK_BATCH.c.ID.desc()).limit(1).with_for_update()).first()
    number = int(last.Name.removeprefix(_NAME)) if last else 0
    if last and last.Status == QUEUED:
        filled = select(func.count()).select_from(ISSUE_ELEMENT).where(ISSUE_ELEMENT.c.WorkBatchID == last.ID)
        room = max(0, size - connection.execute(filled).scalar_one())
        _assign(connection, issue, waiting[:room], last.ID)
        waiting = waiting[room:]
    for first in range(0, len(waiting), size):
        number += 1
        values = {"IssueID": issue, "Name": f"{_NAME}{number:04}", "Status": QUEUED, "UpdatedAt": utc_now()}
        made = connection.execute(insert(WORK_BATCH).values(**values)).inserted_primary_key
        assert made is not None
        _assign(connection, issue, waiting[first : first + size], made[0])


def _assign(connection: Connection, issue: int, elements: Sequence[int], batch: int) -> None:
    """Put elements, which follow one another among those in no batch, into a batch."""
    if elements:
        chosen = ISSUE_ELEMENT.c.IssueID == issue, ISSUE_ELEMENT.c.ID.between(elements[0], elements[-1])
        free = update(ISSUE_ELEMENT).where(*chosen, ISSUE_ELEMENT.c.WorkBatchID.is_(None))
        connection.execute(free.values(WorkBatchID=batch))


def remove_empty(connection: Connection, issue: int) -> None:
    """Remove the batches whose elements were all removed."""
    used = select(ISSUE_ELEMENT.c.WorkBatchID).where(
        ISSUE_ELEMENT.c.IssueID == issue, ISSUE_ELEMENT.c.WorkBatchID.is_not(None)
    )
    connection.execute(delete(WORK_BATCH).where(WORK_BATCH.c.IssueID == issue, WORK_BATCH.c.ID.not_in(used)))


def claim(database: CurationDatabase, issue: int, assignee: str, hours: float = CLAIM_HOURS) -> str | None:
    """Give the next batch that nobody works on to a person; returns its name, None where there is none.

    Of two who ask at the same moment, each gets another batch. hours: after which a batch that its assignee has not
    touched is taken for abandoned.
    """
    too_old = (datetime.now(UTC) - timedelta(hours=hours)).isoformat(timespec="milliseconds")
    is_abandoned = (WORK_BATCH.c.Status == ASSIGNED) & (WORK_BATCH.c.UpdatedAt < too_old)
    free = _batches(issue).where(or_(WORK_BATCH.c.Status == QUEUED, is_abandoned)).order_by(WORK_BATCH.c.ID).limit(1)
    with database.writing() as connection:
        batch = connection.execute(free.with_for_update(skip_locked=True)).first()
        if batch is None:
            return None
        _change(connection, batch, ASSIGNED, assignee)
        return batch.Name


def finish(database: CurationDatabase, issue: int, name: str, assignee: str) -> None:
    """Note that a person has done their batch, and so all of its elements. Raises EarshotError if it is not theirs."""
    with database.writing() as connection:
        batch = _own(connection, issue, name, assignee)
        _change(connection, batch, DONE, assignee)
        elements = update(ISSUE_ELEMENT).where(ISSUE_ELEMENT.c.WorkBatchID == batch.ID)
        connection.execute(elements.values(Status="done", UpdatedAt=utc_now()))


def give_back(database: CurationDatabase, issue: int, name: str, assignee: str) -> None:
    """Let others take a person's batch. Raises EarshotError if it is not theirs."""
    with database.writing() as connection:
        _change(connection, _own(connection, issue, name, assignee), QUEUED, None)


def touch(database: CurationDatabase, issue: int, name: str, assignee: str) -> None:
    """Note that a person is still working on their batch. Raises EarshotError if it is not theirs."""
    with database.writing() as connection:
        _change(connection, _own(connection, issue, name, assignee), ASSIGNED, assignee)


def _batches(issue: int) -> Select:
    return select(WORK_BATCH).where(WORK_BATCH.c.IssueID == issue)


def _own(connection: Connection, issue: int, name: str, assignee: str) -> Row:
    batch = connection.execute(_batches(issue).where(WORK_BATCH.c.Name == name).with_for_update()).first()
    if batch is None:
        raise EarshotError(name, "the work queue has no batch of this name", "see WorkQueue.batch_statuses")
    if batch.Status != ASSIGNED or batch.Assignee != assignee:
        fault = f"is not assigned to {assignee!r}, but {batch.Status}"
        raise EarshotError(name, fault, "claim another batch")
    return batch


def _change(connection: Connection, batch: Row, status: str, assignee: str | None) -> None:
    values = {"Status": status, "Assignee": assignee, "UpdatedAt": utc_now()}
    connection.execute(update(WORK_BATCH).where(WORK_BATCH.c.ID == batch.ID).values(**values))
