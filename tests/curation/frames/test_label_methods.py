import inspect
import re

import pytest

from lib import InferencesFrame, LabeledFrame, UpdateGTLabelSet
from lib.core.errors import EarshotError
from lib.curation.frames.label_kinds import LABEL_KINDS

VALUES = {
    "2d_bbox": {"classification": "Wren", "left": 1, "width": 2, "top": 5000, "height": 1000, "iscrowd": True},
    "2d_classification": {"classification": "Wren", "secondary_labels": {"sex": "male"}},
    "2d_polygon_list": {
        "classification": "Wren",
        "polygons": [{"vertices": [[1, 100], [2, 300], [3, 200]]}],
        "center": [2, 200],
    },
    "2d_line_segment": {"classification": "Wren", "x1": 3, "y1": 900, "x2": 1, "y2": 400},
    "2d_keypoints": {"classification": "Wren", "keypoints": [{"x": 1, "y": 50, "name": "peak"}]},
    "2d_semseg": {"mask_data": [[0, 1], [1, 1]]},
    "2d_instance_seg": {"mask_data": [[0, 1]], "instance_mapping": [{"id": 1, "classification": "Wren"}]},
}


@pytest.mark.parametrize("kind", LABEL_KINDS)
def test_labels_of_each_kind_are_kept_as_they_were_given(kind):
    frame = LabeledFrame(frame_id="f")
    getattr(frame, f"add_label_{kind}")(label_id="a", **VALUES[kind])
    (label,) = frame.to_dict()["label_data"]
    assert label.items() >= {"label_type": kind, "label_id": "a", "sensor_id": "DEFAULT"}.items()
    assert all(label[name] == value for name, value in VALUES[kind].items() if name != "mask_data")
    assert LabeledFrame.from_dict(frame.to_dict()).to_dict() == frame.to_dict()


@pytest.mark.parametrize("prefix", ["add", "add_inference"])
@pytest.mark.parametrize("kind", LABEL_KINDS)
def test_predictions_of_each_kind_carry_a_confidence(kind, prefix):
    frame = InferencesFrame(frame_id="f")
    method = getattr(frame, f"{prefix}_{kind}")
    score = {} if "mask_data" in VALUES[kind] else {"confidence": 0.25}
    if score and prefix == "add_inference":
        with pytest.raises(TypeError, match="confidence"):
            method(label_id="a", **VALUES[kind])
    method(label_id="a", **VALUES[kind], **score)
    assert frame.to_dict()["label_data"][0].items() >= score.items()


@pytest.mark.parametrize("kind", LABEL_KINDS)
def test_updates_name_the_label_and_may_leave_out_the_rest(kind):
    update = UpdateGTLabelSet(frame_id="f")
    getattr(update, f"update_label_{kind}")(label_id="a")
    getattr(update, f"add_{kind}")(label_id="b", **VALUES[kind])
    getattr(update, f"add_label_{kind}")(label_id="c", **VALUES[kind])
    content = update.to_dict()
    assert content["label_updates"] == [{"label_type": kind, "label_id": "a"}]
    assert [label["label_id"] for label in content["label_data"]] == ["b", "c"]
    assert UpdateGTLabelSet.from_dict(content).to_dict() == content


@pytest.mark.parametrize(
    ("kind", "changes", "fault"),
    [
        ("2d_bbox", {"left": -1}, "left = -1 must be seconds"),
        ("2d_bbox", {"width": float("nan")}, "width = nan must be seconds"),
        ("2d_bbox", {"top": 10, "height": 20}, "below 0 Hz"),
        ("2d_bbox", {"top": None}, "only one of top and height"),
        ("2d_bbox", {"confidence": 1.5}, "within 0..1"),
        ("2d_bbox", {"classification": ""}, "classification = ''"),
        ("2d_bbox", {"user_attrs": {1: 2}}, "mapping that JSON can hold"),
        ("2d_bbox", {"label_id": "a\0b"}, "label_id"),
        ("2d_bbox", {"label_id": "a" * 1001}, "label_id"),
        ("2d_polygon_list", {"polygons": [{"vertices": [[1, 2], [3, 4]]}]}, "at least three"),
        ("2d_keypoints", {"keypoints": []}, "must be a list"),
        ("2d_instance_seg", {"instance_mapping": []}, "instance_mapping"),
        ("2d_semseg", {"mask_data": None}, "needs mask_url or mask_data"),
        ("2d_semseg", {"mask_data": [[-1]]}, "outside 0"),
        ("2d_semseg", {"mask_url": "no.png", "mask_data": None}, "cannot be read"),
    ],
)
def test_values_that_are_not_allowed_are_refused_by_name(kind, changes, fault):
    frame = LabeledFrame(frame_id="f")
    with pytest.raises(EarshotError, match=re.escape(fault)):
        getattr(frame, f"add_label_{kind}")(**({"label_id": "a"} | VALUES[kind] | changes))
    assert frame.to_dict()["label_data"] == []


def test_a_label_id_is_unique_in_a_frame():
    frame = LabeledFrame(frame_id="f")
    frame.add_label_2d_classification(label_id="a", classification="Wren")
    with pytest.raises(EarshotError, match="twice"):
        frame.add_label_2d_bbox(label_id="a", classification="Wren", left=0, width=1)


def test_help_shows_parameters_and_their_units():
    method = LabeledFrame.add_label_2d_bbox
    assert {"label_id", "classification", "top", "left", "width", "height"} <= inspect.signature(
        method
    ).parameters.keys()
    assert "s from the start of the recording" in method.__doc__ and "Hz" in method.__doc__
    with pytest.raises(TypeError, match="unexpected"):
        LabeledFrame(frame_id="f").add_label_2d_bbox(**VALUES["2d_bbox"], label_id="a", colour=1)
