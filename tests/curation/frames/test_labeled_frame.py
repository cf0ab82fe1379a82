import re

import pytest

from lib import LabeledFrame, UnlabeledFrame
from lib.core.errors import EarshotError
from lib.curation.frames.labeled_frame import audio_place


@pytest.mark.parametrize("frame_class", [LabeledFrame, UnlabeledFrame])
def test_a_frame_holds_sound_place_and_typed_metadata(frame_class):
    frame = frame_class(frame_id="f", date_captured="2024-05-12T05:30:00", device_id="A1")
    frame.add_audio(audio_url="field/dawn.flac#t=3,6", date_captured="2024-05-12")
    frame.add_geo_latlong_data(54.5, -1.25)
    frame.add_user_metadata("gain", 3, "float")
    frame.add_user_metadata("site", "<b>marsh</b>")
    frame.add_user_metadata_list("months", [4, 5])
    content = frame.to_dict()
    assert content["geo_data"] == {"lat": 54.5, "lon": -1.25}
    assert [entry["type"] for entry in content["user_metadata"]] == ["float", "str", "list[int]"]
    assert frame_class.from_dict(content).to_dict() == content


@pytest.mark.parametrize(
    ("method", "arguments", "fault"),
    [
        ("add_user_metadata", ("k", [1]), "no text, number or bool"),
        ("add_user_metadata", ("k", float("nan")), "no text, number or bool"),
        ("add_user_metadata", ("k", "x", "int"), "is no int"),
        ("add_user_metadata", ("k", "x", "date"), "no type 'date'"),
        ("add_user_metadata_list", ("k", [1, "x"]), "mixes int, str"),
        ("add_geo_latlong_data", (91, 0), "is no place"),
        ("add_geo_latlong_data", ("54", 0), "is no place"),
    ],
)
def test_metadata_that_cannot_be_typed_is_refused(method, arguments, fault):
    with pytest.raises(EarshotError, match=re.escape(fault)):
        getattr(LabeledFrame(frame_id="f"), method)(*arguments)


@pytest.mark.parametrize("values", [{"frame_id": ""}, {"frame_id": "a\0"}, {"frame_id": "f", "update_type": "DROP"}])
def test_a_frame_needs_a_name_and_a_known_update(values):
    with pytest.raises(EarshotError):
        LabeledFrame(**values)


@pytest.mark.parametrize("url", ["a.wav#t=x", "a.wav#t=3,3", "a.wav#t=-1", "a.wav#t=nan"])
def test_a_window_needs_times(url):
    with pytest.raises(EarshotError, match="times"):
        LabeledFrame(frame_id="f").add_audio(audio_url=url)


def test_places_name_recordings():
    assert audio_place("https://example.org/a%20b.WAV?x=1#t=1.5") == (
        "https://example.org/a%20b.WAV?x=1",
        "a b",
        1.5,
        None,
    )
    assert audio_place("20240512.053000.wav") == ("20240512.053000.wav", "20240512.053000", 0.0, None)


@pytest.mark.parametrize("frame_class", [LabeledFrame, UnlabeledFrame])
def test_embeddings_of_frames_and_labels(frame_class):
    frame = frame_class(frame_id="f")
    frame.add_label_2d_classification(label_id="a", classification="Wren")
    frame.add_label_2d_classification(label_id="b", classification="Wren")
    assert not frame.validate_and_backfill_crop_embeddings()
    frame.add_embedding(embedding=[1, 2], crop_embeddings=[{"uuid": "a", "embedding": [3, 4]}], model_id="m")
    assert frame.validate_and_backfill_crop_embeddings()
    assert not frame.validate_and_backfill_crop_embeddings()
    content = frame.to_dict()
    assert content["frame_embeddings"] == {"m": [1.0, 2.0]}
    assert [crop["embedding"] for crop in content["crop_embeddings"]] == [[3.0, 4.0], [1.0, 2.0]]
    for bad in ([1], [1, float("inf")], "ab", [1, "x"]):
        with pytest.raises(EarshotError, match="finite numbers"):
            frame.add_frame_embedding(embedding=bad)
        with pytest.raises(EarshotError, match="finite numbers"):
            frame.add_crop_embedding(label_id="a", embedding=bad)
