"""What the review page is asked and answered about issues and work queues."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from lib.curation.issues.issue import IssueState, IssueType
from lib.server.review.review_answers import MOST_CHOSEN, Name

LARGEST_BATCH = 500
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=5000)]
Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class ShownIssue(BaseModel):
    """An issue. n: of its elements; n_batches, n_done: of a work queue; takes_clips: whether clips can be added."""

    id: str
    name: str
    type: str
    state: str
    assignee: str
    reporter: str
    data_set: str
    updated_at: str
    n: int
    n_batches: int
    n_done: int
    takes_clips: bool


class IssueList(BaseModel):
    """All issues of the project, the newest first, and the types and states that issues may have."""

    issues: list[ShownIssue]
    types: list[str]
    states: list[str]


class ShownComment(BaseModel):
    """A comment. about: the element that it is on; empty: the issue."""

    author: str
    content: str
    created_at: str
    about: str


class ShownElement(BaseModel):
    """An element of an issue.

    Args:
        name: of its frame or label.
        clips: how many clips it is; 0: it is not there any more.
        at: of the first of them, in the list of the issue's clips by time.
        decided: whether all of them are.
    """

    name: str
    recording: str
    start: float
    end: float
    classes: list[str]
    clips: int
    at: int
    decided: bool


class ShownBatch(BaseModel):
    """A batch of a work queue, see lib.curation.reviewed_issues.BatchProgress."""

    name: str
    status: str
    assignee: str
    n: int
    decided: int


class IssueView(BaseModel):
    """An issue as a whole. elements: the first of them."""

    issue: ShownIssue
    comments: list[ShownComment]
    elements: list[ShownElement]
    batches: list[ShownBatch]


class NewIssue(BaseModel):
    """An issue to be made of clips. batch_size: clips of a batch of a work queue."""

    model_config = ConfigDict(extra="forbid")

    name: Title
    type: IssueType = "Bucket"
    clips: list[int] = Field(min_length=1, max_length=MOST_CHOSEN)
    batch_size: int = Field(20, ge=1, le=LARGEST_BATCH)
    by: Name


class MoreClips(BaseModel):
    """Clips to be added to an issue."""

    model_config = ConfigDict(extra="forbid")

    clips: list[int] = Field(min_length=1, max_length=MOST_CHOSEN)


class IssueChange(BaseModel):
    """What an issue becomes; what is None stays. assignee: empty: nobody."""

    model_config = ConfigDict(extra="forbid")

    state: IssueState | None = None
    assignee: str | None = Field(None, max_length=100)


class NewComment(BaseModel):
    """What somebody says about an issue."""

    model_config = ConfigDict(extra="forbid")

    by: Name
    content: Text


class BatchStep(BaseModel):
    """What somebody does with their batch: finish it, give it back, or go on working on it."""

    model_config = ConfigDict(extra="forbid")

    by: Name
    batch: str = Field(max_length=100)
    step: str = Field(pattern="^(finish|give back|touch)$")


class TakenBatch(BaseModel):
    """The batch that somebody was given; empty: all are taken or done."""

    batch: str
