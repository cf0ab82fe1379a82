"""How the review page is answered about issues and work queues."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, FastAPI, Path, Query
from sqlalchemy import Row

from lib.curation.clip_filter import ClipFilter
from lib.curation.clip_index import ORDERS
from lib.curation.issues.issue import ISSUE_STATES, ISSUE_TYPES
from lib.curation.issues.work_batches import DONE
from lib.curation.reviewed_issues import PlacedElement, ReviewedIssues
from lib.server.review.clip_requests import MOST_CLIPS, clip_filter
from lib.server.review.issue_answers import (
    BatchStep,
    IssueChange,
    IssueList,
    IssueView,
    MoreClips,
    NewComment,
    NewIssue,
    ShownBatch,
    ShownComment,
    ShownElement,
    ShownIssue,
    TakenBatch,
)
from lib.server.review.review_answers import Person, ShownPage, shown_clip
from lib.server.review.review_work import done
from lib.server.review.reviewed_project import ReviewedProject

MOST_ELEMENTS = 1000
IssueId = Annotated[str, Path(pattern="^[0-9a-f-]{36}$")]
BatchName = Annotated[str, Query(max_length=100)]


def add_issues(app: FastAPI, project: ReviewedProject, issues: ReviewedIssues) -> None:
    """Let the page see, make and change issues, and work through queues."""

    def issue_of(number: IssueId) -> Row:
        return done(lambda: issues.issue(project.index, number), "issue", 404)

    Chosen = Annotated[Row, Depends(issue_of)]

    def view_of(issue: Row) -> IssueView:
        index = project.index
        issue = issues.issue(index, issue.Uuid)
        elements = issues.elements(index, issue)
        batches = issues.batches(index, issue, elements)
        states = Counter(batch.status for batch in batches)
        return IssueView(
            issue=_shown_issue(issue, len(elements), states),
            comments=_shown_comments(issues, project, issue, elements),
            elements=_shown_elements(elements),
            batches=[ShownBatch(**batch._asdict()) for batch in batches],
        )

    @app.get("/issues")
    def list_issues() -> IssueList:
        """All issues."""
        rows = done(lambda: issues.issues(project.index), "issues")
        shown = [_shown_issue(*row) for row in rows]
        return IssueList(issues=shown, types=list(ISSUE_TYPES), states=list(ISSUE_STATES))

    @app.post("/issues")
    def create(new: NewIssue) -> IssueView:
        """Make an issue of clips."""
        index, values = project.index, (new.name, new.type, new.clips, new.batch_size, new.by)
        number = done(lambda: issues.create(index, *values), new.name)
        return done(lambda: view_of(issues.issue(index, number)), new.name)

    @app.get("/issues/{number}")
    def view(issue: Chosen) -> IssueView:
        """An issue with its elements, comments and batches."""
        return done(lambda: view_of(issue), issue.Name)

    @app.post("/issues/{number}")
    def change(issue: Chosen, new: IssueChange) -> IssueView:
        """Put an issue into another state, or give it to somebody."""
        manager = issues.manager(project.index)
        if new.state is not None:
            done(lambda: manager.update_issue_state(issue.Uuid, str(new.state)), issue.Name)
        if new.assignee is not None:
            assignee = new.assignee.strip() or None
            done(lambda: manager.update_issue_assignee(issue.Uuid, assignee), issue.Name)
        return done(lambda: view_of(issue), issue.Name)

    @app.post("/issues/{number}/comments")
    def comment(issue: Chosen, new: NewComment) -> IssueView:
        """Say something about an issue."""
        done(lambda: issues.manager(project.index).add_comment(issue.Uuid, new.by, new.content), issue.Name)
        return done(lambda: view_of(issue), issue.Name)

    @app.get("/issues/{number}/clips")
    def clips(
        issue: Chosen,
        chosen: Annotated[ClipFilter, Depends(clip_filter)],
        batch: BatchName = "",
        order: Annotated[str, Query(pattern=f"^({'|'.join(ORDERS)})$")] = "time",
        offset: Annotated[int, Query(ge=0, le=2**40)] = 0,
        limit: Annotated[int, Query(ge=0, le=MOST_CLIPS)] = 100,
    ) -> ShownPage:
        """Some of the clips of an issue, or of a batch of it."""
        index = project.index
        elements = done(lambda: issues.elements(index, issue, batch), issue.Name)
        ids = tuple(clip.id for element in elements for clip in element.clips)
        if not ids:
            return ShownPage(total=0, serial=0, clips=[])
        page = done(lambda: index.page(chosen._replace(ids=ids), order, offset, limit), issue.Name)
        return ShownPage(total=page.total, serial=page.serial, clips=[shown_clip(clip) for clip in page.clips])

    @app.post("/issues/{number}/clips")
    def add(issue: Chosen, more: MoreClips) -> ShownIssue:
        """Add clips to an issue."""
        index = project.index
        done(lambda: issues.add(index, issue.Uuid, more.clips), issue.Name)
        return done(lambda: view_of(issue), issue.Name).issue

    @app.get("/issues/{number}/batch")
    def progress(issue: Chosen, batch: BatchName) -> ShownBatch:
        """How far a batch is."""
        index = project.index
        elements = done(lambda: issues.elements(index, issue, batch), issue.Name)
        found = done(lambda: issues.batches(index, issue, elements), issue.Name)
        return next(ShownBatch(**each._asdict()) for each in found if each.name == batch)

    @app.post("/issues/{number}/batches")
    def take(issue: Chosen, person: Person) -> TakenBatch:
        """Give a person the next batch that nobody has; of two who ask at once, each gets another one."""
        queues = issues.queues(project.index)
        return TakenBatch(batch=done(lambda: queues.claim_batch(issue.Uuid, person.by), issue.Name) or "")

    @app.post("/issues/{number}/batch")
    def step(issue: Chosen, work: BatchStep) -> TakenBatch:
        """Finish a batch, give it back, or go on."""
        queues = issues.queues(project.index)
        steps = {"finish": queues.finish_batch, "give back": queues.give_back_batch, "touch": queues.touch_batch}
        done(lambda: steps[work.step](issue.Uuid, work.batch, work.by), issue.Name)
        return TakenBatch(batch=work.batch)


def _shown_issue(row: Row, n: int, batches: Counter[str]) -> ShownIssue:
    return ShownIssue(
        id=row.Uuid,
        name=row.Name,
        type=row.Type,
        state=row.State,
        assignee=row.Assignee or "",
        reporter=row.Reporter,
        data_set=row.Dataset,
        updated_at=row.UpdatedAt,
        n=n,
        n_batches=sum(batches.values()),
        n_done=batches[DONE],
        takes_clips=row.ElementType == "frame",
    )


def _shown_comments(
    issues: ReviewedIssues, project: ReviewedProject, issue: Row, elements: Sequence[PlacedElement]
) -> list[ShownComment]:
    names: dict[int | None, str] = {element.row.ID: element.row.Name for element in elements}
    comments = [
        ShownComment(**{key: str(each[key]) for key in ("author", "content", "created_at")}, about=names.get(about, ""))
        for about, those in issues.comments(project.index, issue).items()
        for each in those
    ]
    return sorted(comments, key=lambda one: one.created_at)


def _shown_elements(elements: Sequence[PlacedElement]) -> list[ShownElement]:
    ids = sorted({clip.id for element in elements for clip in element.clips})
    at = {number: k for k, number in enumerate(ids)}
    return [
        ShownElement(
            name=element.row.Name,
            recording=element.place.recording if element.place else element.row.FrameName,
            start=element.place.start_time if element.place else 0.0,
            end=min(element.place.end_time, 1e9) if element.place else 0.0,
            classes=list(element.place.classes) if element.place else [],
            clips=len(element.clips),
            at=at[element.clips[0].id] if element.clips else 0,
            decided=element.is_decided,
        )
        for element in elements[:MOST_ELEMENTS]
    ]
