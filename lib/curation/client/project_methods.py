"""Projects: what the client does with them."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Row

from lib.core.errors import EarshotError
from lib.curation.client.client_base import ClientBase, checked_metadata, refuse_foreign
from lib.curation.client.label_class_map import ClassMapUpdateEntry, LabelClassMap
from lib.curation.client.project_definitions import (
    CustomMetricsDefinition,
    PrimaryTaskTypes,
    StratifiedMetricsDefinition,
)
from lib.curation.frames.label_kinds import is_number

MOST_CATEGORIES = 100
CREDENTIALS = ({"api_key"}, {"token"}, {"app_id", "app_key"})


class ProjectMethods(ClientBase):
    """Methods of the client about projects."""

    def set_credentials(
        self,
        *,
        token: str | None = None,
        app_id: str | None = None,
        app_key: str | None = None,
        api_key: str | None = None,
    ) -> None:
        """Do nothing, so that scripts run that log in elsewhere: the database's file or URL decides who may use it.

        Raises EarshotError unless api_key, token, or app_id and app_key are given.
        """
        options = {"token": token, "app_id": app_id, "app_key": app_key, "api_key": api_key}
        if {name for name, value in options.items() if value is not None} not in CREDENTIALS:
            raise EarshotError("credentials", "are incomplete", "give api_key, or token, or app_id and app_key")

    def create_project(
        self,
        project_id: str,
        label_class_map: LabelClassMap,
        primary_task: PrimaryTaskTypes | None = PrimaryTaskTypes.Null,
        secondary_labels: Any = None,
        frame_links: list[str] | None = None,
        label_links: list[str] | None = None,
        default_camera_target: list[float] | None = None,
        default_camera_position: list[float] | None = None,
        custom_metrics: CustomMetricsDefinition | Sequence[CustomMetricsDefinition] | None = None,
        max_shown_categories: int | None = None,
        stratified_metrics: Sequence[StratifiedMetricsDefinition] | None = None,
        include_no_gt: bool | None = None,
        metrics_confidence_threshold: float | None = None,
        metrics_iou_threshold: float | None = None,
        external_metadata: dict[str, Any] | None = None,
        binary_classification_negative_class: str | None = None,
    ) -> None:
        """Create a project.

        Args:
            project_id: its name.
            label_class_map: its classes.
            primary_task: what its recognizers do.
            secondary_labels: names of secondary labels of classifications.
            frame_links, label_links: names of links between frames and between labels.
            default_camera_target, default_camera_position: have no meaning for sound.
            custom_metrics: metrics that frames of inference sets may have.
            max_shown_categories: at most how many categories to show at once, 1 to 100.
            stratified_metrics: attributes of labels by which to split metrics.
            include_no_gt: whether frames without truth count in evaluation.
            metrics_confidence_threshold: confidence, 0..1, from which a prediction counts; None: 0.1.
            metrics_iou_threshold: overlap, 0..1, from which a prediction matches a label; None: 0.5.
            external_metadata: anything else that JSON can hold.
            binary_classification_negative_class: the class of frames without the sound, for binary classification.

        Raises EarshotError if there is a project of this name, or a value is not allowed.
        """
        refuse_foreign(
            "three-dimensional scenes",
            default_camera_target=default_camera_target,
            default_camera_position=default_camera_position,
        )
        task = PrimaryTaskTypes.Null if primary_task is None else PrimaryTaskTypes(primary_task)
        names = [entry.name for entry in label_class_map.entries]
        if task is PrimaryTaskTypes.BinaryClassification and binary_classification_negative_class not in names:
            fault = f"{binary_classification_negative_class!r} is not one of the classes"
            raise EarshotError(
                "binary_classification_negative_class", fault, "give the class of frames without the sound"
            )
        if max_shown_categories is not None and not 1 <= max_shown_categories <= MOST_CATEGORIES:
            raise EarshotError("max_shown_categories", f"must be 1 to {MOST_CATEGORIES}", "correct it")
        if isinstance(custom_metrics, CustomMetricsDefinition):
            custom_metrics = [custom_metrics]
        content = {
            "label_class_map": [entry.to_dict() for entry in label_class_map.entries],
            "primary_task": task.value,
            "secondary_labels": checked_metadata({"labels": secondary_labels})["labels"],
            "frame_links": list(frame_links or []),
            "label_links": list(label_links or []),
            "custom_metrics": [asdict(metric) for metric in custom_metrics or ()],
            "max_shown_categories": max_shown_categories,
            "stratified_metrics": [asdict(metric) for metric in stratified_metrics or ()],
            "include_no_gt": include_no_gt,
            "metrics_confidence_threshold": _share("metrics_confidence_threshold", metrics_confidence_threshold, 0.1),
            "metrics_iou_threshold": _share("metrics_iou_threshold", metrics_iou_threshold, 0.5),
            "binary_classification_negative_class": binary_classification_negative_class,
        }
        self.catalog.create_project(project_id, content, checked_metadata(external_metadata))

    def get_projects(self) -> list[dict[str, Any]]:
        """All projects, by name, each as get_project gives it."""
        return [_described(row) for row in self.catalog.projects()]

    def get_project(self, project_id: str) -> dict[str, Any]:
        """What create_project was given, as plain data, with id, external_metadata, created_at and updated_at."""
        return _described(self.catalog.project(project_id))

    def project_exists(self, project_id: str) -> bool:
        """Whether there is a project of this name."""
        return self.catalog.has_project(project_id)

    def delete_project(self, project_id: str) -> None:
        """Delete a project with its data sets, inference sets and issues. What they are linked to stays as it is."""
        self.catalog.delete_project(project_id)

    def update_project_metadata(self, project_id: str, external_metadata: dict[str, Any]) -> None:
        """Replace a project's metadata."""
        self.catalog.change_project(project_id, Metadata=checked_metadata(external_metadata))

    def update_label_class_map_colors(
        self, project_id: str, changed_label_classes: Sequence[ClassMapUpdateEntry]
    ) -> None:
        """Change colors, key points and skeletons of some classes.

        Raises EarshotError, and changes nothing, if the project does not have one of them.
        """
        project = self.catalog.project(project_id)
        entries = self._class_map(project).changed(changed_label_classes).entries
        content = project.Content | {"label_class_map": [entry.to_dict() for entry in entries]}
        self.catalog.change_project(project_id, Content=content)

    def class_map(self, project_id: str) -> LabelClassMap:
        """The classes of a project."""
        return self._class_map(self.catalog.project(project_id))


def _described(project: Row) -> dict[str, Any]:
    times = {"created_at": project.CreatedAt, "updated_at": project.UpdatedAt}
    return {"id": project.Name, **project.Content, "external_metadata": project.Metadata, **times}


def _share(name: str, value: float | None, default: float) -> float:
    value = default if value is None else value
    if not (is_number(value) and 0 <= value <= 1):
        raise EarshotError(name, f"{value!r} must be within 0..1", "correct it")
    return float(value)
