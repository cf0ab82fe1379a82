"""Issues and their elements in the curation database."""

import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from lib.core.errors import EarshotError
from lib.curation.issues.issue import WORK_QUEUE, IssueElement
from lib.curation.issues.work_batches import deal_out, remove_empty
from lib.curation.store.curation_database import CurationDatabase, utc_now
from lib.curation.store.curation_tables import COMMENT, ISSUE, ISSUE_ELEMENT, WORK_BATCH

ROWS_AT_ONCE = 500
"""Names in a query; below the number of parameters that any database takes."""


class IssueStore:
    """The issues of a project.

    Args:
        database: the curation database.
        project: ID of the project's row.
    """

    def __init__(self, database: CurationDatabase, project: int) -> None:
        self._database, self._project = database, project

    def issue(self, issue_id: str, connection: Connection | None = None, lock: bool = False) -> Row:
        """The row of an issue. Raises EarshotError if there is none. lock: until the transaction ends."""
        query = select(ISSUE).where(ISSUE.c.ProjectID == self._project, ISSUE.c.Uuid == str(issue_id))
        if connection is None:
            rows: Sequence[Row] = self._database.rows(query)
        else:
            rows = connection.execute(query.with_for_update() if lock else query).all()
        if not rows:
            raise EarshotError(f"issue {issue_id!r}", "there is none of this id", "see list_issues")
        return rows[0]

    def issues(self) -> list[Row]:
        """All issues, the oldest first."""
        return self._database.rows(select(ISSUE).where(ISSUE.c.ProjectID == self._project).order_by(ISSUE.c.ID))

    def elements(self, issues: Collection[int]) -> Iterator[Row]:
        """The elements of issues, by issue and in the order in which they were added."""
        query = select(ISSUE_ELEMENT).order_by(ISSUE_ELEMENT.c.IssueID, ISSUE_ELEMENT.c.ID)
        for part in parts_of(sorted(issues)):
            for block in self._database.blocks(query.where(ISSUE_ELEMENT.c.IssueID.in_(part))):
                yield from block

    def batches(self, issues: Collection[int]) -> dict[int, list[Row]]:
        """The batches of work queues, in order, by the IDs of the issues' rows."""
        found: dict[int, list[Row]] = {issue: [] for issue in issues}
        for part in parts_of(sorted(issues)):
            query = select(WORK_BATCH).where(WORK_BATCH.c.IssueID.in_(part)).order_by(WORK_BATCH.c.ID)
            for row in self._database.rows(query):
                found[row.IssueID].append(row)
        return found

    def comments(self, issue: int) -> dict[int | None, list[dict[str, Any]]]:
        """The comments on an issue, as None, and on its elements, by their rows' IDs; the oldest first."""
        found: dict[int | None, list[dict[str, Any]]] = {}
        query = select(COMMENT).where(COMMENT.c.IssueID == issue).order_by(COMMENT.c.ID)
        for row in self._database.rows(query):
            comment = {"author": row.Author, "content": row.Content, "created_at": row.CreatedAt}
            found.setdefault(row.IssueElementID, []).append(comment)
        return found

    def create(self, values: Mapping[str, Any], elements: Sequence[IssueElement]) -> str:
        """Add an issue with these values of its row, and its elements; returns its id."""
        issue_id, now = str(uuid.uuid4()), utc_now()
        row = {"ProjectID": self._project, "Uuid": issue_id, "CreatedAt": now, "UpdatedAt": now, **values}
        with self._database.writing() as connection:
            connection.execute(insert(ISSUE), row)
            self._add(connection, self.issue(issue_id, connection), elements)
        return issue_id

    def change(self, issue_id: str, **values: Any) -> Row:
        """Change values of an issue's row; returns it."""
        with self._database.writing() as connection:
            row = self.issue(issue_id, connection, lock=True)
            connection.execute(update(ISSUE).where(ISSUE.c.ID == row.ID).values(**values, UpdatedAt=utc_now()))
            return self.issue(issue_id, connection)

    def delete(self, issue_id: str) -> Row:
        """Delete an issue with its elements, batches and comments; returns its row."""
        with self._database.writing() as connection:
            row = self.issue(issue_id, connection, lock=True)
            connection.execute(delete(ISSUE).where(ISSUE.c.ID == row.ID))
            return row

    def add_elements(self, issue_id: str, elements: Sequence[IssueElement]) -> Row:
        """Add elements; of those that are there already, only lists in label_metadata grow. Returns the issue's row."""
        with self._database.writing() as connection:
            row = self.issue(issue_id, connection, lock=True)
            self._add(connection, row, elements)
            return row

    def remove_elements(self, issue_id: str, element_ids: Collection[str]) -> Row:
        """Remove elements; returns the issue's row. Raises EarshotError if one is not there."""
        with self._database.writing() as connection:
            row = self.issue(issue_id, connection, lock=True)
            for part in self._parts_there(connection, row, element_ids):
                chosen = ISSUE_ELEMENT.c.IssueID == row.ID, ISSUE_ELEMENT.c.Name.in_(part)
                connection.execute(delete(ISSUE_ELEMENT).where(*chosen))
            remove_empty(connection, row.ID)
            self._touch(connection, row)
            return row

    def mark_elements(self, issue_id: str, element_ids: Collection[str], status: str) -> None:
        """Give elements a status. Raises EarshotError if one is not there."""
        now = utc_now()
        with self._database.writing() as connection:
            row = self.issue(issue_id, connection, lock=True)
            for part in self._parts_there(connection, row, element_ids):
                chosen = ISSUE_ELEMENT.c.IssueID == row.ID, ISSUE_ELEMENT.c.Name.in_(part)
                connection.execute(update(ISSUE_ELEMENT).where(*chosen).values(Status=status, UpdatedAt=now))
            self._touch(connection, row)

    def add_comment(self, issue_id: str, author: str, content: str, element_id: str | None = None) -> None:
        """Add a comment to an issue or to one of its elements."""
        with self._database.writing() as connection:
            row, element = self.issue(issue_id, connection, lock=True), None
            if element_id is not None:
                list(self._parts_there(connection, row, [element_id]))
                query = select(ISSUE_ELEMENT.c.ID).where(ISSUE_ELEMENT.c.IssueID == row.ID)
                element = connection.execute(query.where(ISSUE_ELEMENT.c.Name == element_id)).scalar_one()
            about = {"IssueID": row.ID, "IssueElementID": element}
            connection.execute(insert(COMMENT), about | {"Author": author, "Content": content, "CreatedAt": utc_now()})
            self._touch(connection, row)

    def _add(self, connection: Connection, row: Row, elements: Sequence[IssueElement]) -> None:
        named, now = {element.element_id: element for element in elements}, utc_now()
        for part in parts_of(named):
            query = select(ISSUE_ELEMENT).where(ISSUE_ELEMENT.c.IssueID == row.ID, ISSUE_ELEMENT.c.Name.in_(part))
            there = {element.Name: element for element in connection.execute(query)}
            for name, element in there.items():
                metadata = _joined(element.Metadata, named[name].label_metadata or {})
                if metadata != element.Metadata:
                    chosen = update(ISSUE_ELEMENT).where(ISSUE_ELEMENT.c.ID == element.ID)
                    connection.execute(chosen.values(Metadata=metadata, UpdatedAt=now))
            rows = [_row_of(row.ID, named[name], now) for name in part if name not in there]
            if rows:
                connection.execute(insert(ISSUE_ELEMENT), rows)
        if row.Type == WORK_QUEUE:
            deal_out(connection, row.ID, row.BatchSize)
        self._touch(connection, row)

    def _parts_there(self, connection: Connection, row: Row, element_ids: Iterable[str]) -> Iterator[list[str]]:
        """The elements of an issue, some at a time. Raises EarshotError if one is not there."""
        for part in parts_of(dict.fromkeys(element_ids)):
            query = select(ISSUE_ELEMENT.c.Name).where(ISSUE_ELEMENT.c.IssueID == row.ID)
            there = set(connection.execute(query.where(ISSUE_ELEMENT.c.Name.in_(part))).scalars())
            if missing := [name for name in part if name not in there]:
                raise EarshotError(f"element {missing[0]!r}", f"is not in the issue {row.Name!r}", "see get_issue")
            yield part

    def _touch(self, connection: Connection, row: Row) -> None:
        connection.execute(update(ISSUE).where(ISSUE.c.ID == row.ID).values(UpdatedAt=utc_now()))

    def element_counts(self) -> dict[int, int]:
        """Number of elements of each issue of any project, by its row's ID."""
        query = select(ISSUE_ELEMENT.c.IssueID, func.count()).group_by(ISSUE_ELEMENT.c.IssueID)
        return {issue: n for issue, n in self._database.rows(query)}


def parts_of(values: Iterable) -> Iterator[list]:
    """Values, up to ROWS_AT_ONCE at a time."""
    values = iter(values)
    while part := list(islice(values, ROWS_AT_ONCE)):
        yield part


def _joined(before: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata whose lists have gained what is new; all else stays.

    >>> _joined({"classes": ["wren"], "score": 0.5}, {"classes": ["robin", "wren"], "score": 0.9})
    {'classes': ['wren', 'robin'], 'score': 0.5}
    """
    grown = {
        key: [*value, *(each for each in added[key] if each not in value)]
        for key, value in before.items()
        if isinstance(value, list) and isinstance(added.get(key), list)
    }
    return {**before, **grown}


def _row_of(issue: int, element: IssueElement, now: str) -> dict[str, Any]:
    is_frame = element.element_type == "frame"
    return {
        "IssueID": issue,
        "WorkBatchID": None,
        "Name": element.element_id,
        "ElementType": element.element_type,
        "CropType": element.crop_type,
        "Dataset": element.dataset,
        "InferenceSet": element.inference_set,
        "FrameName": element.frame_id,
        "CropName": "" if is_frame else element.element_id,
        "Status": "unstarted",
        "Metadata": dict(element.label_metadata or {}),
        "UpdatedAt": now,
    }
