import sqlite3
from contextlib import closing

import numpy as np
import pytest
import soundfile

from lib import LabeledFrame, UpdateGTLabelSet
from lib.core.errors import EarshotError
from tests.curation.frame_builders import BOX, boxed, dataset_of, open_client, predicted, truth_of
from tests.internet import QuietHandler, serving_here


@pytest.fixture
def client(tmp_path):
    with open_client(tmp_path) as client:
        client.create_dataset("marsh", "day", dataset=dataset_of(boxed("a"), boxed("b", "Owl")))
        yield client


@pytest.fixture
def recording(tmp_path):
    """Four seconds at 8,000 Hz."""
    path = tmp_path / "dawn chorus.wav"
    soundfile.write(path, np.random.default_rng(1).normal(0, 0.1, 32_000), 8000)
    return path


def test_frames_are_given_back_as_they_were_added(client):
    assert client.get_frame_ids("marsh", "day") == ["a", "b"]
    assert client.get_frame("marsh", "day", "b").to_dict() == boxed("b", "Owl").to_dict()
    assert list(client.get_frames("marsh", "day", ["b", "zz", "a"])) == ["a", "b"]
    with pytest.raises(EarshotError, match="none of this id"):
        client.get_frame("marsh", "day", "zz")


def test_updates_of_frames_change_what_they_have(client):
    update = LabeledFrame(frame_id="a", device_id="A7")
    update.add_user_metadata("site", "dune")
    client.update_dataset_frames("marsh", "day", [update, LabeledFrame(frame_id="zz")], "second")
    content = client.get_frame("marsh", "day", "a").to_dict()
    assert content["device_id"] == "A7" and [label["label_id"] for label in content["label_data"]] == ["a-1"]
    client.update_frames_metadata("marsh", "day", {"a": {"site": "marsh", "months": [4, 5]}, "yy": {"site": "x"}})
    (frame,) = client.frames("marsh", "day", ["a"])
    assert frame.metadata == {"site": "marsh", "months": [4, 5]} and frame.recording == "a"
    errors = client.get_dataset_ingest_error_logs("marsh", "day")
    assert [(error["frame_id"], error["upload_version"]) for error in errors] == [("yy", "second")]
    assert client.get_frame_ids("marsh", "day") == ["a", "b"]


def test_updates_of_labels_add_and_change(client):
    update = UpdateGTLabelSet(frame_id="a")
    update.update_label_2d_bbox(label_id="a-1", classification="Owl", height=2000)
    update.update_label_2d_bbox(label_id="gone", classification="Owl")
    update.add_2d_bbox(label_id="a-2", classification="Wren", **BOX)
    update.add_crop_embedding(label_id="a-2", embedding=[1, 2])
    client.update_dataset_labels("marsh", "day", [update])
    assert truth_of(client) == {"a-1": ("a", "Owl"), "a-2": ("a", "Wren"), "b-1": ("b", "Owl")}
    (table,) = client.truth("marsh", "day", ["a"])
    assert table["low_freq"].tolist() == [3000.0, 4000.0]
    (error,) = client.get_dataset_ingest_error_logs("marsh", "day")
    assert "'gone'" in error["error"] and len(next(client.embeddings("marsh", "day", crops=True)).label_ids) == 1


def test_an_update_that_makes_a_label_impossible_is_an_error(client):
    impossible, other_kind = UpdateGTLabelSet(frame_id="a"), UpdateGTLabelSet(frame_id="b")
    impossible.update_label_2d_bbox(label_id="a-1", height=6000)
    other_kind.update_label_2d_line_segment(label_id="b-1", x1=1)
    client.update_dataset_labels("marsh", "day", [impossible, other_kind])
    errors = [error["error"] for error in client.get_dataset_ingest_error_logs("marsh", "day")]
    assert "below 0 Hz" in errors[0] and "is a 2d_bbox, not a 2d_line_segment" in errors[1]
    assert client.get_frame("marsh", "day", "a").to_dict() == boxed("a").to_dict()


def test_masks_cover_what_their_pixels_say(client, recording):
    frame = LabeledFrame(frame_id="window")
    frame.add_audio(audio_url=f"{recording}#t=1,3")
    frame.add_label_2d_semseg(label_id="classes", mask_data=[[2, 2, 1, 1], [2, 2, 2, 2]])  # class_id 1 is Owl
    instances = [{"id": 5, "classification": "Wren", "attributes": {"faint": True}}]
    frame.add_label_2d_instance_seg(label_id="sounds", mask_data=[[0, 0], [0, 5]], instance_mapping=instances)
    silent = LabeledFrame(frame_id="silent")
    silent.add_label_2d_semseg(label_id="nothing", mask_data=[[1]])
    client.create_dataset("marsh", "masks", dataset=dataset_of(frame, silent))
    (table,) = client.truth("marsh", "masks")
    rows = table.set_index("label_id")[["class", "start_time", "end_time", "low_freq", "high_freq"]]
    assert rows.loc["classes/1"].tolist() == ["Owl", 2.0, 3.0, 0.0, 2000.0]
    assert rows.loc["sounds/5"].tolist() == ["Wren", 2.0, 3.0, 2000.0, 4000.0]
    assert len(table) == 2 and table["attributes"].tolist()[1] == {"faint": True}
    (error,) = client.get_dataset_ingest_error_logs("marsh", "masks")
    assert error["frame_id"] == "silent" and "without sound" in error["error"]


def test_a_preview_shows_the_frame(client, recording, capsys):
    frame = LabeledFrame(frame_id="dawn")
    frame.add_audio(audio_url=str(recording))
    frame.add_label_2d_bbox(label_id="x", classification="Wren", left=1, width=1, top=3000, height=1000)
    client.preview_frame("marsh", frame, predicted("dawn", "Owl"))
    path = capsys.readouterr().out.strip()
    with open(path, "rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"
    with pytest.raises(EarshotError, match="has no sound"):
        client.preview_frame("marsh", LabeledFrame(frame_id="empty"))


def test_assets_lie_beside_the_database_once(client, recording, tmp_path):
    place = client.upload_asset_from_filepath("marsh", "../../day", recording)
    assert client.upload_asset_from_url("marsh", "../../day", recording.as_uri()) == place
    assert place.startswith(str(tmp_path / "curation_assets")) and ".." not in place
    with open(place, "rb") as file:
        assert file.read() == recording.read_bytes()
    with pytest.raises(EarshotError, match="cannot be copied"):
        client.upload_asset_from_filepath("marsh", "day", tmp_path / "missing.wav")


def test_a_mirrored_recording_is_copied_when_its_frame_is_uploaded(client, recording):
    frame = LabeledFrame(frame_id="dawn")
    frame.add_audio(audio_url=f"{recording}#t=1,2", mirror_asset=True)
    client.create_dataset("marsh", "mirrored", dataset=dataset_of(frame))
    (summary,) = client.frames("marsh", "mirrored")
    recording.unlink()
    assert "curation_assets" in summary.audio_url and summary.audio_url.endswith("#t=1,2")
    assert (summary.start_time, summary.end_time) == (1.0, 2.0)
    assert soundfile.info(summary.audio_url.partition("#")[0]).duration == 4.0


def test_others_can_write_while_files_of_an_upload_are_fetched(client, recording, tmp_path):
    """A server that asks, at each request, for the lock of the database."""
    requests: dict[str, str] = {}

    class Handler(QuietHandler):
        def do_GET(self):
            with closing(sqlite3.connect(client.database.name, timeout=0, isolation_level=None)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                requests[self.path] = "free"
            super().do_GET()

    with serving_here(recording.parent, Handler) as site:
        name = "dawn%20chorus.wav"
        frame, change = LabeledFrame(frame_id="dawn"), LabeledFrame(frame_id="dawn", update_type="MODIFY")
        frame.add_audio(audio_url=f"{site}/{name}#t=1,2", mirror_asset=True)
        frame.add_frame_embedding(embedding=[1, 2], model_id="m")
        change.add_audio(audio_url=f"{site}/{name}?changed", mirror_asset=True)
        gone = LabeledFrame(frame_id="gone")
        gone.add_audio(audio_url=f"{site}/gone.wav", mirror_asset=True)
        for file, write in (("frames", "write_to_file"), ("vectors", "write_embeddings_to_file")):
            with (recording.parent / f"{file}.jsonl").open("w") as stream:
                getattr(dataset_of(frame, gone), write)(stream)
        urls = {"data_url": f"{site}/frames.jsonl", "embeddings_url": f"{site}/vectors.jsonl"}
        client.create_dataset("marsh", "fetched", **urls)
        client.update_dataset_frames("marsh", "fetched", [change], "second")
    assert requests == dict.fromkeys(
        ("/frames.jsonl", "/vectors.jsonl", f"/{name}", "/gone.wav", f"/{name}?changed"), "free"
    )
    (summary,) = client.frames("marsh", "fetched")
    assert "curation_assets" in summary.audio_url
    assert len(list(client.embeddings("marsh", "fetched"))) == 1
    assert [error["frame_id"] for error in client.get_dataset_ingest_error_logs("marsh", "fetched")] == ["gone"]


def test_managers_are_those_of_the_project(client):
    for module, method in (
        ("metrics.metrics_manager", client.get_metrics_manager),
        ("issues.issue_manager", client.get_issue_manager),
        ("issues.work_queue_manager", client.get_work_queue_manager),
    ):
        with pytest.raises(EarshotError, match="none of this name"):
            method("other")
        assert type(method("marsh")).__module__ == f"lib.curation.{module}"
