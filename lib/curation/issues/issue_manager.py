"""The issues of a project, as Aquarium's client manages them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row

from lib.core.errors import EarshotError
from lib.curation.frames.entry_names import check_entry_name
from lib.curation.issues.issue import (
    CROP_TYPES,
    ELEMENT_STATUSES,
    ELEMENT_TYPES,
    ISSUE_STATES,
    ISSUE_TYPES,
    WORK_QUEUE,
    Issue,
    IssueElement,
)
from lib.curation.issues.issue_store import IssueStore
from lib.curation.issues.scenario_files import ScenarioFiles
from lib.curation.issues.scenarios import SCORED

if TYPE_CHECKING:
    from lib.curation.client.client import Client

BATCH_SIZE = 100


class IssueManager:
    """Issues of a project. Methods raise EarshotError for issues, elements and values that there are not.

    Scenarios and regression tests are written to data.scenarios, too, from which evaluate scores them.

    Args:
        client: of the curation database.
        project_id: the project.
    """

    def __init__(self, client: "Client", project_id: str) -> None:
        self._client, self._project = client, project_id
        self._store = IssueStore(client.database, client.catalog.project(project_id).ID)
        self._files = ScenarioFiles(client, project_id)

    def create_issue(
        self,
        name: str,
        dataset: str,
        elements: Sequence[IssueElement],
        element_type: str,
        inference_set: str | None = None,
        issue_type: str = "Bucket",
        work_queue_batch_size: int | None = None,
        reporter: str = "",
        assignee: str | None = None,
        custom_template_fields: Mapping[str, Any] | None = None,
    ) -> str:
        """Create an issue; returns its id.

        Args:
            name: what people call it. Scenarios and regression tests need names of their own.
            dataset, inference_set: whose frames and labels its elements are.
            elements: the first ones.
            element_type: frame or crop, which all elements must be.
            issue_type: one of ISSUE_TYPES.
            work_queue_batch_size: of a work queue, 100 by default.
            reporter, assignee: people.
            custom_template_fields: anything that JSON holds.
        """
        check_entry_name("issue", name)
        _one_of("element type", element_type, ELEMENT_TYPES)
        _one_of("issue type", issue_type, ISSUE_TYPES)
        size = work_queue_batch_size if work_queue_batch_size is not None else BATCH_SIZE
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise EarshotError(f"work_queue_batch_size {size!r}", "must be a whole number, 1 or more")
        dataset = self._own_name(dataset)
        inference_set = None if inference_set is None else self._own_name(inference_set)
        self._client.catalog.frame_set(self._project, dataset, inference_set)
        values = {
            "Name": name,
            "Type": issue_type,
            "State": ISSUE_STATES[0],
            "ElementType": element_type,
            "Dataset": dataset,
            "InferenceSet": inference_set,
            "Reporter": reporter,
            "Assignee": assignee,
            "BatchSize": size if issue_type == WORK_QUEUE else None,
            "Content": dict(custom_template_fields or {}),
        }
        checked = self._checked(elements, element_type, dataset, inference_set)
        with self._files.new_name(name) if issue_type in SCORED else nullcontext():
            issue_id = self._store.create(values, checked)
        self._write_scenario(self._store.issue(issue_id))
        return issue_id

    def create_work_queue(
        self,
        name: str,
        dataset: str,
        elements: Sequence[IssueElement],
        element_type: str,
        inference_set: str | None = None,
        work_queue_batch_size: int = BATCH_SIZE,
    ) -> str:
        """Create an issue of type Work Queue; see create_issue and WorkQueueManager."""
        return self.create_issue(
            name, dataset, elements, element_type, inference_set, WORK_QUEUE, work_queue_batch_size
        )

    def delete_issue(self, issue_id: str) -> None:
        """Delete an issue, with its elements and comments."""
        row = self._store.delete(issue_id)
        if row.Type in SCORED:
            self._files.remove(row.Name)

    def add_elements_to_issue(self, issue_id: str, elements: Sequence[IssueElement]) -> None:
        """Add elements; those that are there already stay as they are, but lists in their label_metadata grow."""
        row = self._store.issue(issue_id)
        checked = self._checked(elements, row.ElementType, row.Dataset, row.InferenceSet)
        self._write_scenario(self._store.add_elements(issue_id, checked))

    def remove_elements_from_issue(self, issue_id: str, elements: Sequence[IssueElement]) -> None:
        """Remove elements, known by their element_id."""
        names = [element.element_id for element in elements]
        self._write_scenario(self._store.remove_elements(issue_id, names))

    def update_elements_status(self, issue_id: str, element_ids: Collection[str], new_status: str) -> None:
        """Mark elements as unstarted or done."""
        _one_of("status", new_status, ELEMENT_STATUSES)
        self._store.mark_elements(issue_id, element_ids, new_status)

    def update_issue_name(self, issue_id: str, issue_name: str) -> None:
        """Rename an issue."""
        check_entry_name("issue", issue_name)
        before = self._store.issue(issue_id)
        is_new = before.Type in SCORED and issue_name != before.Name
        with self._files.new_name(issue_name) if is_new else nullcontext():
            row = self._store.change(issue_id, Name=issue_name)
        if is_new:
            self._files.remove(before.Name)
        self._write_scenario(row)

    def update_issue_state(self, issue_id: str, issue_state: str) -> None:
        """Put an issue into a state, one of ISSUE_STATES."""
        _one_of("state", issue_state, ISSUE_STATES)
        self._store.change(issue_id, State=issue_state)

    def update_issue_assignee(self, issue_id: str, assignee: str | None) -> None:
        """Say who is to deal with an issue; None: nobody."""
        self._store.change(issue_id, Assignee=assignee)

    def add_comment(self, issue_id: str, author: str, content: str, element_id: str | None = None) -> None:
        """Add a comment to an issue or to one of its elements."""
        self._store.add_comment(issue_id, author, content, element_id)

    def list_issues(self) -> list[Issue]:
        """All issues of the project, the oldest first, without the data of frames and without comments."""
        rows = self._store.issues()
        elements: dict[int, list[IssueElement]] = {row.ID: [] for row in rows}
        for element in self._store.elements(elements):
            elements[element.IssueID].append(_element_of(element))
        return [_issue_of(row, elements[row.ID]) for row in rows]

    def get_issue(
        self,
        issue_id: str,
        exclude_frame_data: bool = False,
        include_comment_data: bool = False,
        exclude_frame_inferences: bool = False,
    ) -> Issue:
        """An issue with the data of its elements.

        Args:
            issue_id: of the issue.
            exclude_frame_data: leave out frame_data and crop_data.
            include_comment_data: with the comments on it and on its elements.
            exclude_frame_inferences: leave out the inferences among frame_data's label_data.
        """
        row = self._store.issue(issue_id)
        rows = list(self._store.elements([row.ID]))
        elements = [_element_of(each) for each in rows]
        if not exclude_frame_data:
            elements = self._with_data(row, elements, exclude_frame_inferences)
        comments = None
        if include_comment_data:
            found = self._store.comments(row.ID)
            comments = found.get(None, [])
            elements = [replace(each, comments=found.get(its.ID, [])) for each, its in zip(elements, rows, strict=True)]
        return replace(_issue_of(row, elements), comments=comments)

    def _with_data(self, row: Row, elements: list[IssueElement], without_inferences: bool) -> list[IssueElement]:
        frames = self._contents(row.Dataset, None, (each.frame_id for each in elements))
        inferences: dict[str, dict[str, Any]] = {}
        if row.InferenceSet is not None:
            inferences = self._contents(row.Dataset, row.InferenceSet, (each.frame_id for each in elements))
        filled = []
        for element in elements:
            frame, found = frames.get(element.frame_id), inferences.get(element.frame_id)
            labels = (found if element.crop_type == "inference" else frame) or {}
            crop = next((e for e in labels.get("label_data", []) if e.get("label_id") == element.element_id), None)
            if frame is not None and found is not None and not without_inferences:
                frame = frame | {"inference_data": found.get("label_data", [])}
            crop = crop if element.element_type == "crop" else None
            filled.append(replace(element, frame_data=frame, crop_data=crop))
        return filled

    def _contents(self, dataset: str, inferences: str | None, frames: Iterable[str]) -> dict[str, dict[str, Any]]:
        source = self._client.source(self._project, dataset, inferences)
        return {content["frame_id"]: content for content in source.contents(set(frames))}

    def _checked(
        self, elements: Sequence[IssueElement], element_type: str, dataset: str, inference_set: str | None
    ) -> list[IssueElement]:
        """Elements with names as they are stored. Raises EarshotError if one is not of the issue's sets."""
        checked = []
        for element in elements:
            own = self._own_name(element.dataset), element.inference_set and self._own_name(element.inference_set)
            element = replace(element, dataset=own[0], inference_set=own[1])
            subject = f"element {element.element_id!r}"
            if element.element_type != element_type:
                raise EarshotError(subject, f"is no {element_type}, as the issue's are", "make another issue")
            if element.dataset != dataset or element.inference_set not in (None, inference_set):
                raise EarshotError(subject, "is of another data set or inference set than the issue")
            if element_type == "frame":
                element = replace(element, crop_type=None)
                if element.element_id != element.frame_id:
                    raise EarshotError(subject, f"is a frame, but its frame_id is {element.frame_id!r}", "give one id")
            else:
                _one_of(f"crop type of {subject}", element.crop_type, CROP_TYPES)
                if element.crop_type == "inference" and inference_set is None:
                    raise EarshotError(subject, "is an inference, but the issue has no inference set", "name it")
            checked.append(element)
        self._check_presence(checked, dataset, inference_set)
        return checked

    def _check_presence(self, elements: list[IssueElement], dataset: str, inference_set: str | None) -> None:
        """Raise EarshotError if a frame or label is not in its set."""
        if not elements:
            return
        frames = {element.frame_id for element in elements}
        known = {frame.frame_id for frame in self._client.frames(self._project, dataset, frames)}
        if missing := sorted(frames - known):
            raise EarshotError(f"frame {missing[0]!r}", f"is not in the data set {dataset!r}", "see get_frame_ids")
        for crop_type, inferences in (("label", None), ("inference", inference_set)):
            crops = {each.element_id: each.frame_id for each in elements if each.crop_type == crop_type}
            if not crops:
                continue
            labels = self._client.source(self._project, dataset, inferences).labels(set(crops.values()))
            found = {
                label: frame
                for table in labels
                for label, frame in zip(table["label_id"], table["frame_id"], strict=True)
                if label in crops
            }
            if missing := sorted(name for name, frame in crops.items() if found.get(name) != frame):
                raise EarshotError(f"{crop_type} {missing[0]!r}", f"is not in the frame {crops[missing[0]]!r}")

    def _own_name(self, name: str) -> str:
        """The name of a set without the project's, which may stand before it."""
        return str(name).removeprefix(f"{self._project}.")

    def _write_scenario(self, row: Row) -> None:
        if row.Type in SCORED:
            self._files.write(row, lambda: self._store.elements([row.ID]))


def _one_of(what: str, value: object, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise EarshotError(f"{what} {value!r}", f"is not one of {', '.join(allowed)}")


def _issue_of(row: Row, elements: list[IssueElement]) -> Issue:
    return Issue(
        name=row.Name,
        dataset=row.Dataset,
        elements=elements,
        element_type=row.ElementType,
        created_at=row.CreatedAt,
        updated_at=row.UpdatedAt,
        reporter=row.Reporter,
        assignee=row.Assignee,
        state=row.State,
        issue_id=row.Uuid,
        inference_set=row.InferenceSet,
        template_type=row.Type,
        custom_template_fields=dict(row.Content),
    )


def _element_of(row: Row) -> IssueElement:
    return IssueElement(
        element_id=row.Name,
        frame_id=row.FrameName,
        element_type=row.ElementType,
        dataset=row.Dataset,
        crop_type=row.CropType,
        status=row.Status,
        inference_set=row.InferenceSet,
        label_metadata=dict(row.Metadata),
        updated_at=row.UpdatedAt,
    )
