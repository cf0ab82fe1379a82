"""Methods of the reference that have no meaning for sound: they are there, take what they would take, and say so."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from lib.core.errors import EarshotError

Holder = TypeVar("Holder", bound=type)

_THREE = "three-dimensional scenes"
_TEXT = "text"
_PICTURES = "pictures and video"
_CAMERA = "id, fx, fy, camera_model, position, orientation, camera_matrix, k1, k2, k3, k4, k5, k6, p1, p2, cx, cy"
_SENSOR = "date_captured, mirror_asset"
_CUBOID = "label_id, classification, position, dimensions, rotation, confidence, iscrowd, user_attrs, links"
_TOKEN = "sensor_id, label_id, index, token, classification, visible, confidence, user_attrs"
FOREIGN_SENSORS = {
    "add_coordinate_frame_2d": (_PICTURES, f"coord_frame_{_CAMERA}, s1, s2, s3, s4, skew, parent_frame_id"),
    "add_coordinate_frame_3d": (_THREE, "coord_frame_id, position, orientation, parent_frame_id"),
    "add_image": (_PICTURES, f"sensor_id, image_url, preview_url, width, height, coord_frame_id, {_SENSOR}"),
    "add_image_overlay": (
        _PICTURES,
        f"sensor_id, overlay_id, image_url, width, height, resize_mode, {_SENSOR}",
    ),
    "add_obj": (_THREE, f"sensor_id, obj_url, coord_frame_id, {_SENSOR}"),
    "add_point_cloud_bins": (
        _THREE,
        f"sensor_id, pointcloud_url, kitti_format_url, intensity_url, range_url, coord_frame_id, {_SENSOR}",
    ),
    "add_point_cloud_pcd": (_THREE, f"sensor_id, pcd_url, coord_frame_id, {_SENSOR}"),
    "add_text": (_TEXT, "sensor_id, text, date_captured"),
    "add_video": (_PICTURES, f"sensor_id, video_url, {_SENSOR}"),
}
"""Methods of frames that have sensors: what they are about, and their parameters."""
FOREIGN_LABELS = {
    "3d_classification": (_THREE, "label_id, classification, confidence, coord_frame_id, user_attrs"),
    "3d_cuboid": (_THREE, f"{_CUBOID}, coord_frame_id"),
    "text_token": (_TEXT, _TOKEN),
}
"""Kinds of labels, as FOREIGN_SENSORS."""


class NoMeaningForSound(EarshotError):
    """A concept of other sensors was asked for, which a recording does not have."""

    def __init__(self, name: str, about: str) -> None:
        super().__init__(name, f"has no meaning for sound: it is about {about}", "see lib.curation for what has")


def with_foreign(label_prefixes: Iterable[str], has_sensors: bool = False) -> Callable[[Holder], Holder]:
    """A class decorator that adds methods which raise NoMeaningForSound.

    Args:
        label_prefixes: of methods of FOREIGN_LABELS, such as add_label.
        has_sensors: whether to add FOREIGN_SENSORS.
    """
    foreign = {f"{prefix}_{kind}": entry for prefix in label_prefixes for kind, entry in FOREIGN_LABELS.items()}
    foreign |= FOREIGN_SENSORS if has_sensors else {}

    def decorated(holder: Holder) -> Holder:
        for name, (about, parameters) in foreign.items():
            setattr(holder, name, _refusal(holder, name, about, parameters.split(", ")))
        return holder

    return decorated


def _refusal(holder: type, name: str, about: str, parameters: list[str]) -> Callable[..., None]:
    def method(self: Any, **values: Any) -> None:
        raise NoMeaningForSound(f"{holder.__name__}.{name}", about)

    method.__doc__ = f"""Raise NoMeaningForSound: {about} are no part of a recording."""
    method.__name__, method.__qualname__, method.__module__ = name, f"{holder.__name__}.{name}", holder.__module__
    keywords = [inspect.Parameter(each, inspect.Parameter.KEYWORD_ONLY, default=None) for each in parameters]
    owner = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    method.__signature__ = inspect.Signature([owner, *keywords])  # type: ignore[attr-defined]
    return method
