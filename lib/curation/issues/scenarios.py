"""Scenarios and regression tests: issues whose elements are scored separately."""

from typing import NamedTuple

from sqlalchemy import select

from lib.curation.store.curation_database import CurationDatabase
from lib.curation.store.curation_tables import ISSUE, ISSUE_ELEMENT, PROJECT

SCENARIO, REGRESSION_TEST = "Scenario", "Regression Test"
SCORED = (SCENARIO, REGRESSION_TEST)
"""Types of issues that are scored separately."""


class ScenarioInfo(NamedTuple):
    """A scenario of a data set.

    Args:
        issue_id: of the issue.
        name: of the scenario.
        issue_type: Scenario or Regression Test.
        elements: frame and label, "" where it is the whole frame, of each element.
    """

    issue_id: str
    name: str
    issue_type: str
    elements: tuple[tuple[str, str], ...]


def read_scenarios(database: CurationDatabase, project: str, data_set: str) -> list[ScenarioInfo]:
    """The scenarios and regression tests of a data set, by name."""
    query = select(ISSUE.c.ID, ISSUE.c.Uuid, ISSUE.c.Name, ISSUE.c.Type).join(
        PROJECT, ISSUE.c.ProjectID == PROJECT.c.ID
    )
    query = query.where(PROJECT.c.Name == project, ISSUE.c.Dataset == data_set, ISSUE.c.Type.in_(SCORED))
    issues = database.rows(query.order_by(ISSUE.c.Name, ISSUE.c.ID))
    columns = ISSUE_ELEMENT.c.IssueID, ISSUE_ELEMENT.c.FrameName, ISSUE_ELEMENT.c.CropName
    elements: dict[int, list[tuple[str, str]]] = {row.ID: [] for row in issues}
    chosen = select(*columns).where(ISSUE_ELEMENT.c.IssueID.in_(list(elements))).order_by(ISSUE_ELEMENT.c.ID)
    for issue, frame, crop in database.rows(chosen):
        elements[issue].append((frame, crop))
    return [ScenarioInfo(row.Uuid, row.Name, row.Type, tuple(elements[row.ID])) for row in issues]
