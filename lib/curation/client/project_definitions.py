"""What a project is about: its task, custom metrics, attributes by which metrics are split."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from lib.core.errors import EarshotError
from lib.curation.frames.entry_names import check_entry_name


class PrimaryTaskTypes(Enum):
    """What a recognizer of the project does."""

    ObjectDetection = "OBJECT_DETECTION"
    Classification = "CLASSIFICATION"
    ClassificationWithGeometry = "CLASSIFICATION_WITH_GEOMETRY"
    BinaryClassification = "BINARY_CLASSIFICATION"
    SemSeg = "2D_SEMSEG"
    InstanceSegmentation = "INSTANCE_SEGMENTATION"
    Null = None


TASK_LABELS: dict[PrimaryTaskTypes, tuple[set[str], bool]] = {
    PrimaryTaskTypes.ObjectDetection: ({"2d_bbox", "2d_polygon_list", "2d_line_segment", "2d_keypoints"}, False),
    PrimaryTaskTypes.Classification: ({"2d_classification"}, True),
    PrimaryTaskTypes.ClassificationWithGeometry: ({"2d_bbox", "2d_polygon_list"}, True),
    PrimaryTaskTypes.BinaryClassification: ({"2d_classification"}, True),
    PrimaryTaskTypes.SemSeg: ({"2d_semseg"}, True),
    PrimaryTaskTypes.InstanceSegmentation: ({"2d_instance_seg", "2d_polygon_list"}, False),
}
"""The kinds of labels that each task has, and whether a frame has exactly one."""


def task_fault(task: PrimaryTaskTypes, frame: Mapping[str, Any]) -> str:
    """What a frame has that does not fit the task of its project; "" if all fits.

    frame: as to_dict gives it.
    """
    kinds, is_single = TASK_LABELS.get(task, (set(), False))
    labels = frame.get("label_data", ())
    if odd := {label["label_type"] for label in labels} - kinds if kinds else set():
        return f"has a label of {sorted(odd)[0]}, and {task.value} takes {', '.join(sorted(kinds))}"
    if is_single and frame.get("update_type", "ADD") == "ADD" and len(labels) != 1:
        return f"has {len(labels)} labels, and {task.value} takes one a frame"
    return ""


@dataclass(frozen=True)
class CustomMetricsDefinition:
    """A metric that the user's code computes for each frame.

    Args:
        name: of the metric.
        metrics_type: objective (a number) or confusion_matrix (a matrix).
    """

    name: str
    metrics_type: str

    def __post_init__(self) -> None:
        check_entry_name("custom metric", self.name)
        if self.metrics_type not in ("objective", "confusion_matrix"):
            fault = f"metrics_type {self.metrics_type!r} is unknown"
            raise EarshotError(f"custom metric {self.name!r}", fault, "give objective or confusion_matrix")


@dataclass(frozen=True)
class StratifiedMetricsDefinition:
    """An attribute of labels by whose values metrics are split, such as distance, noise level, month or site.

    Args:
        name: of the attribute.
        ordered_values: its values in the order in which to show them.
    """

    name: str
    ordered_values: list[Any]

    def __post_init__(self) -> None:
        check_entry_name("stratified metric", self.name)
        if not isinstance(self.ordered_values, list | tuple) or not self.ordered_values:
            raise EarshotError(f"stratified metric {self.name!r}", "has no values", "list them in their order")
