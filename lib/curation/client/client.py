"""The client of the curation database: what people and scripts do with projects, data sets and inference sets."""

import importlib
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from lib.curation.client.frame_methods import FrameMethods
from lib.curation.client.project_methods import ProjectMethods
from lib.curation.store.frame_source import FrameSummary

if TYPE_CHECKING:
    import pandas as pd


class Client(ProjectMethods, FrameMethods):
    """Projects, data sets, inference sets and their frames, in an embedded database. It can be used in a `with` block.

    Threads may share it. Methods raise EarshotError for names that there are not.

    Args:
        api_endpoint: SQLAlchemy URL of the database: an SQLite file, which is made if it is missing, or PostgreSQL.
        data: whose decisions and reviewed recordings linked data sets take.
    """

    def frames(
        self, project_id: str, dataset_id: str, frame_ids: Collection[str] | None = None
    ) -> Iterator[FrameSummary]:
        """The frames of a data set; frame_ids: only these."""
        return self.source(project_id, dataset_id).frames(frame_ids)

    def truth(
        self, project_id: str, dataset_id: str, frame_ids: Collection[str] | None = None
    ) -> "Iterator[pd.DataFrame]":
        """The labels of a data set in tables of LABEL_COLUMNS (lib.curation.store.frame_source), of bounded size."""
        return self.source(project_id, dataset_id).labels(frame_ids)

    def predictions(
        self, project_id: str, dataset_id: str, inferences_id: str, frame_ids: Collection[str] | None = None
    ) -> "Iterator[pd.DataFrame]":
        """The predictions of an inference set, as truth gives labels."""
        return self.source(project_id, dataset_id, inferences_id).labels(frame_ids)

    def get_metrics_manager(self, project_id: str) -> Any:
        """The MetricsManager of a project."""
        return self._manager("lib.curation.metrics.metrics_manager", "MetricsManager", project_id)

    def get_issue_manager(self, project_id: str) -> Any:
        """The IssueManager of a project."""
        return self._manager("lib.curation.issues.issue_manager", "IssueManager", project_id)

    def get_work_queue_manager(self, project_id: str) -> Any:
        """The WorkQueueManager of a project."""
        return self._manager("lib.curation.issues.work_queue_manager", "WorkQueueManager", project_id)

    def _manager(self, module: str, name: str, project_id: str) -> Any:
        self.catalog.project(project_id)
        return getattr(importlib.import_module(module), name)(self, project_id)  # they are made with a client
