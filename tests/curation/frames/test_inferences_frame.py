import pytest

from lib import InferencesFrame
from lib.core.errors import EarshotError


def test_custom_metrics_metadata_and_embeddings_are_kept():
    frame = InferencesFrame(frame_id="f", reuse_latest_embedding=True)
    frame.add_custom_metric("loss", 0.5)
    frame.add_custom_metric("matrix", [[1, 0], [2, 3]])
    frame.add_user_metadata("model", "a")
    frame.add_2d_classification(label_id="p", classification="Wren", confidence=1)
    frame.add_frame_embedding(embedding=[1, 2])
    assert frame.validate_and_backfill_crop_embeddings()
    frame.add_crop_embedding(label_id="p", embedding=[3, 4])
    assert InferencesFrame.from_dict(frame.to_dict()).to_dict() == frame.to_dict()


@pytest.mark.parametrize("value", ["x", [[1], [2, 3]], [1, 2], [], float("nan"), [[float("inf")]]])
def test_a_custom_metric_is_a_number_or_a_matrix(value):
    with pytest.raises(EarshotError, match="no number and no matrix"):
        InferencesFrame(frame_id="f").add_custom_metric("loss", value)
