import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib import Inferences, InferencesFrame, LabeledDataset, LabeledFrame, UnlabeledDataset, UnlabeledFrame
from lib.core.errors import EarshotError
from lib.curation.frames.label_kinds import LABEL_KINDS

STREAMS = [(LabeledDataset, LabeledFrame), (UnlabeledDataset, UnlabeledFrame), (Inferences, InferencesFrame)]


def filled(stream_class, frame_class):
    stream, prefix = stream_class(), "add" if frame_class is InferencesFrame else "add_label"
    for name in "ab":
        frame = frame_class(frame_id=name)
        getattr(frame, f"{prefix}_2d_semseg")(label_id=f"{name}-mask", mask_data=[[0, 1]])
        frame.add_frame_embedding(embedding=[1, 2])
        frame.add_crop_embedding(label_id=f"{name}-mask", embedding=[3, 4])
        stream.add_frame(frame)
    stream.delete_frame("c")
    return stream


def written(stream, method) -> list[dict]:
    file = io.StringIO()
    getattr(stream, method)(file)
    return [json.loads(line) for line in file.getvalue().splitlines()]


@pytest.mark.parametrize(("stream_class", "frame_class"), STREAMS)
def test_a_stream_is_read_as_it_was_written(stream_class, frame_class):
    stream = filled(stream_class, frame_class)
    assert len(stream) == 3
    file = io.StringIO()
    stream.write_to_file(file)
    file.seek(0)
    copy = stream_class()
    assert copy.read_from_file(file) == []
    assert written(copy, "write_to_file") == written(stream, "write_to_file")
    assert [each["update_type"] for each in written(copy, "write_to_file")] == ["ADD", "ADD", "DELETE"]


@pytest.mark.parametrize(("stream_class", "frame_class"), STREAMS)
def test_embeddings_and_masks_have_streams_of_their_own(stream_class, frame_class):
    stream = filled(stream_class, frame_class)
    first = written(stream, "write_embeddings_to_file")[0]
    assert first["frame_embeddings"] == {"": [1.0, 2.0]} and first["crop_embeddings"][0]["embedding"] == [3.0, 4.0]
    assets = written(stream, "write_label_assets_to_file")
    assert [each["label_assets"][0]["label_id"] for each in assets] == ["a-mask", "b-mask"]
    assert all("frame_embeddings" not in each for each in written(stream, "write_to_file"))


@pytest.mark.parametrize(("stream_class", "frame_class"), STREAMS[:2])
def test_parts_of_data_sets_are_written_apart(stream_class, frame_class):
    stream = filled(stream_class, frame_class)
    assert all("label_data" not in each for each in written(stream, "write_frames_to_file_streaming"))
    assert [each["label_data"][0]["label_id"] for each in written(stream, "write_labels_to_file_streaming")] == [
        "a-mask",
        "b-mask",
    ]
    assert set(written(stream, "write_frame_embeddings_to_file_streaming")[0]) == {"frame_id", "frame_embeddings"}
    assert set(written(stream, "write_crop_embeddings_to_file_streaming")[0]) == {"frame_id", "crop_embeddings"}


def test_damaged_lines_become_problems_and_the_others_are_read():
    lines = [
        '{"frame_id": "good", "label_data": []}',
        "no json",
        "[1]",
        '{"frame_id": 3}',
        '{"frame_id": "x", "label_data": [{"label_type": "3d_cuboid", "label_id": "a"}]}',
        '{"frame_id": "x", "label_data": [3]}',
        '{"frame_id": "x", "user_metadata": [{"key": "k", "value": NaN}]}',
        '{"frame_id": "x", "sensor_data": [{"sensor_type": "IMAGE", "sensor_id": "s"}]}',
        "",
        '{"frame_id": "last"}',
    ]
    stream = LabeledDataset()
    problems = stream.read_from_file(io.StringIO("\n".join(lines)))
    assert [problem.subject.split(":")[0] for problem in problems] == [f"line {n}" for n in (2, 3, 4, 5, 6, 7, 8)]
    assert [each["frame_id"] for each in written(stream, "write_to_file")] == ["good", "last"]


def test_a_stream_takes_frames_of_its_kind():
    with pytest.raises(EarshotError, match="takes no InferencesFrame"):
        LabeledDataset().add_frame(InferencesFrame(frame_id="f"))
    with pytest.raises(EarshotError, match="pipeline_mode"):
        LabeledDataset(pipeline_mode="SLOW")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
LABELS = st.fixed_dictionaries(
    {"label_type": st.sampled_from(list(LABEL_KINDS)), "label_id": VALUES},
    optional={
        name: VALUES for kind in LABEL_KINDS.values() for name in kind.fields if name not in ("mask_url", "label_id")
    },
)
FRAMES = st.fixed_dictionaries(
    {"frame_id": st.text(max_size=5)},
    optional={
        **{name: VALUES for name in ("update_type", "date_captured", "device_id", "sensor_data", "user_metadata")},
        **{name: VALUES for name in ("geo_data", "custom_metrics", "frame_embeddings", "crop_embeddings")},
        "label_data": VALUES | st.lists(LABELS, max_size=2),
    },
)


@given(FRAMES | VALUES, st.sampled_from([LabeledDataset, Inferences]))
def test_any_line_becomes_a_frame_or_a_problem(content, stream_class):
    stream = stream_class()
    problems = stream.read_from_file(io.StringIO(json.dumps(content)))
    assert len(problems) + len(stream) == 1
