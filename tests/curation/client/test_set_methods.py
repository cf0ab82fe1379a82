import io
import json

import pytest

from lib import (
    CustomMetricsDefinition,
    Inferences,
    InferencesFrame,
    LabeledFrame,
    PrimaryTaskTypes,
    UnlabeledDataset,
    UnlabeledFrame,
)
from lib.core.errors import EarshotError
from tests.curation.frame_builders import boxed, dataset_of, open_client, predicted, truth_of


@pytest.fixture
def client(tmp_path):
    with open_client(tmp_path, custom_metrics=[CustomMetricsDefinition("loss", "objective")]) as client:
        yield client


@pytest.fixture
def filled(client):
    """With a data set `day` of the frames a and b, and an inference set `model` of it."""
    client.create_dataset("marsh", "day", dataset=dataset_of(boxed("a"), boxed("b", "Owl")))
    inferences = Inferences()
    inferences.add_frame(predicted("a", "Owl", 0.75))
    client.create_inferences("marsh", "day", "model", inferences=inferences)
    return client


def counts(client, dataset="day") -> list[tuple]:
    columns = ("name", "added", "modified", "deleted", "unchanged", "failed")
    return [
        tuple(version[name] for name in columns) for version in client.get_dataset("marsh", dataset)["upload_versions"]
    ]


def test_sets_are_there_as_they_were_created(filled):
    assert truth_of(filled) == {"a-1": ("a", "Wren"), "b-1": ("b", "Owl")}
    (table,) = filled.predictions("marsh", "day", "model")
    row = table.iloc[0]
    assert (row["label_id"], row["class"], row["confidence"]) == ("a-p", "Owl", 0.75)
    assert (row["start_time"], row["end_time"], row["low_freq"], row["high_freq"]) == (1.0, 3.0, 4000.0, 5000.0)
    assert filled.dataset_exists("marsh", "day") and not filled.dataset_exists("marsh", "night")
    assert filled.inferences_exists("marsh", "day", "model") and not filled.inferences_exists("marsh", "day", "other")
    assert [each["id"] for each in filled.get_datasets("marsh", False)] == ["day"]
    assert [each["id"] for each in filled.get_inference_sets("marsh", "day")] == ["model"]
    assert filled.get_dataset("marsh", "day")["n_frames"] == 2


def test_the_same_upload_twice_changes_nothing(filled):
    before = truth_of(filled)
    filled.create_or_update_dataset("marsh", "day", dataset=dataset_of(boxed("a"), boxed("b", "Owl")))
    assert truth_of(filled) == before and counts(filled) == [("1", 2, 0, 0, 2, 0)]


def test_frames_are_added_modified_and_deleted_in_named_versions(filled):
    stream = dataset_of(boxed("c"), boxed("a", "Owl"))
    stream.delete_frame("b")
    stream.delete_frame("never there")
    filled.add_to_streaming_dataset("marsh", "day", stream, upload_version="second", external_metadata={"n": 2})
    assert truth_of(filled) == {"a-1": ("a", "Owl"), "c-1": ("c", "Wren")}
    assert counts(filled) == [("1", 2, 0, 0, 0, 0), ("second", 1, 1, 1, 0, 0)]
    change = LabeledFrame(frame_id="a", update_type="MODIFY")
    change.add_label_2d_classification(label_id="a-2", classification="Wren")
    change.add_user_metadata("site", "dune")
    filled.add_to_streaming_dataset("marsh", "day", dataset_of(change))
    assert truth_of(filled) == {"a-1": ("a", "Owl"), "a-2": ("a", "Wren"), "c-1": ("c", "Wren")}
    assert counts(filled)[1] == ("second", 1, 2, 1, 0, 0)
    assert filled.get_dataset("marsh", "day")["external_metadata"] == {"n": 2}


def test_a_frame_is_deleted_and_added_again_within_an_upload(filled):
    stream = dataset_of()
    stream.delete_frame("a")
    stream.add_frame(boxed("a", "Owl"))
    stream.delete_frame("b")
    filled.add_to_streaming_dataset("marsh", "day", stream)
    assert truth_of(filled) == {"a-1": ("a", "Owl")}
    filled.add_to_streaming_dataset("marsh", "day", dataset_of(boxed("b")))
    assert truth_of(filled) == {"a-1": ("a", "Owl"), "b-1": ("b", "Wren")}


def test_a_label_may_move_to_another_frame_once_its_own_is_gone(filled):
    thief = LabeledFrame(frame_id="c")
    thief.add_label_2d_classification(label_id="a-1", classification="Owl")
    filled.add_to_streaming_dataset("marsh", "day", dataset_of(thief))
    assert truth_of(filled)["a-1"] == ("a", "Wren")
    (error,) = filled.get_dataset_ingest_error_logs("marsh", "day")
    assert error["frame_id"] == "c" and "frame 'a' has it, too" in error["error"]
    stream = dataset_of()
    stream.delete_frame("a")
    stream.add_frame(thief)
    filled.add_to_streaming_dataset("marsh", "day", stream)
    assert truth_of(filled)["a-1"] == ("c", "Owl")


def test_each_bad_entry_is_an_error_and_the_others_go_in(client, tmp_path):
    bad = [
        "no json",
        "{}",
        json.dumps({"frame_id": "x" * 2000}),
        json.dumps({"frame_id": "nul\0"}),
        json.dumps({"frame_id": "lone \ud800"}),
        json.dumps(boxed("unknown", "Emu").to_dict()),
        json.dumps({"frame_id": "modified", "update_type": "MODIFY"}),
        '{"frame_id": "deep", "user_metadata": ' + 100_000 * "[",
    ]
    good = [json.dumps(boxed(name).to_dict()) for name in ("../../up", "<img src=x onerror=alert(1)>", "z" * 900)]
    path = tmp_path / "frames.jsonl"
    path.write_bytes("\n".join([good[0], *bad, *good[1:]]).encode() + b'\n{"frame_id": "\xff\xfe"')
    client.create_dataset("marsh", "day", data_url=str(path))
    errors = client.get_dataset_ingest_error_logs("marsh", "day")
    assert sorted(error["line"] for error in errors) == [*range(2, 10), 12]
    assert {frame for frame, _ in truth_of(client).values()} == {"../../up", "<img src=x onerror=alert(1)>", "z" * 900}
    assert counts(client) == [("1", 3, 0, 0, 0, 9)]


def test_inferences_are_about_frames_and_metrics_that_there_are(filled):
    inferences = Inferences()
    for name, metric in (("b", "loss"), ("zz", "loss"), ("a", "speed")):
        frame = InferencesFrame(frame_id=name)
        frame.add_custom_metric(metric, 0.5)
        inferences.add_frame(frame)
    filled.create_or_update_inferences("marsh", "day", "model", inferences=inferences)
    errors = filled.get_inferences_ingest_error_logs("marsh", "day", "model")
    assert [error["frame_id"] for error in errors] == ["a", "zz"]
    with pytest.raises(EarshotError, match="none of this name"):
        filled.create_inferences("marsh", "night", "model", inferences=inferences)
    filled.update_inferences_metadata("marsh", "model", {"epoch": 3})
    assert filled.get_inference_sets("marsh", "day")[0]["external_metadata"] == {"epoch": 3}


def test_unlabelled_frames_have_proposals(client):
    dataset, frame = UnlabeledDataset(), UnlabeledFrame(frame_id="a")
    frame.add_label_2d_classification(label_id="p", classification="Wren", confidence=0.5)
    dataset.add_frame(frame)
    client.create_dataset("marsh", "day", dataset=dataset)
    assert client.get_dataset("marsh", "day")["kind"] == "unlabeled"
    assert isinstance(client.get_frame("marsh", "day", "a"), UnlabeledFrame)
    with pytest.raises(EarshotError, match="is unlabeled, not labeled"):
        client.create_dataset("marsh", "day", dataset=dataset_of(boxed("b")))


def test_states_and_steps_are_those_of_a_finished_upload(filled):
    assert filled.current_dataset_process_state("marsh", "day") == ("DONE", 100.0)
    assert filled.current_inferences_process_state("marsh", "day", "model") == ("DONE", 100.0)
    assert filled.is_dataset_processed("marsh", "day") and filled.is_inferences_processed("marsh", "day", "model")
    steps = filled.current_abstract_dataset_process_step_status("marsh", "day")
    assert steps == {
        "ingest": {"status": "DONE", "frames": 2, "errors": 0},
        "embeddings": {"status": "DONE", "frames": 0},
    }
    assert filled.current_abstract_dataset_process_step_status("marsh", "model")["ingest"]["frames"] == 1


def test_archived_sets_are_not_listed_and_deleted_ones_are_gone(filled):
    assert not filled.is_dataset_archived("marsh", "day") and not filled.is_dataset_archived("marsh", "night")
    filled.archive_dataset("marsh", "day")
    assert filled.is_dataset_archived("marsh", "day")
    assert filled.get_datasets("marsh", False) == [] and len(filled.get_datasets("marsh", True)) == 1
    filled.delete_inferences("marsh", "day", "model")
    assert not filled.inferences_exists("marsh", "day", "model")
    filled.delete_dataset("marsh", "day")
    assert not filled.dataset_exists("marsh", "day")
    with pytest.raises(EarshotError, match="none of this name"):
        filled.delete_dataset("marsh", "day")


def test_labels_keep_to_the_schema_of_their_metadata(filled):
    filled.update_dataset_metadata("marsh", "day", {"season": "spring"})
    assert filled.get_dataset("marsh", "day")["external_metadata"] == {"season": "spring"}
    schema = [{"name": "distance", "type": "FLOAT"}, {"name": "tags", "type": "ARRAY<STRING>"}]
    filled.update_dataset_object_metadata_schema("marsh", "day", schema)
    assert filled.get_dataset_object_metadata_schema("marsh", "day") == schema
    good = boxed("c", user_attrs={"distance": 3, "tags": ["x"], "other": True})
    bad = [boxed("d", user_attrs={"distance": "far"}), boxed("e", user_attrs={"tags": [1]})]
    filled.add_to_streaming_dataset("marsh", "day", dataset_of(good, *bad))
    assert "c-1" in truth_of(filled) and not {"d-1", "e-1"} & truth_of(filled).keys()
    for field in ({"name": "x", "type": "DATE"}, {"name": "x", "type": "ARRAY<DATE>"}, {"type": "BOOL"}, "x"):
        with pytest.raises(EarshotError):
            filled.update_dataset_object_metadata_schema("marsh", "day", [field])


def test_frames_that_do_not_fit_the_task_are_refused(tmp_path):
    with open_client(tmp_path, primary_task=PrimaryTaskTypes.Classification) as client:
        with pytest.raises(EarshotError, match="has a label of 2d_bbox, and CLASSIFICATION"):
            client.create_dataset("marsh", "day", dataset=dataset_of(boxed("a")))
        assert not client.dataset_exists("marsh", "day")
        client.create_dataset("marsh", "day", dataset=dataset_of(boxed("a")), check_first_frame=False)
        with pytest.raises(EarshotError, match="frame 'b': has a label"):
            client.add_to_streaming_dataset("marsh", "day", dataset_of(boxed("b")), validate_frames=True)
        assert set(truth_of(client)) == {"a-1"}


def test_a_batch_data_set_is_not_added_to(client):
    client.create_dataset("marsh", "day", dataset=dataset_of(boxed("a")), pipeline_mode="BATCH")
    for method in (client.create_dataset, client.add_to_streaming_dataset):
        with pytest.raises(EarshotError, match="is not streaming"):
            method("marsh", "day", dataset=dataset_of(boxed("b")))
    assert set(truth_of(client)) == {"a-1"}


def test_embeddings_come_with_frames_or_from_a_file(client, tmp_path):
    frame = boxed("a")
    frame.add_frame_embedding(embedding=[1, 2], model_id="m")
    frame.add_crop_embedding(label_id="a-1", embedding=[3, 4], model_id="m")
    stream, file = dataset_of(frame), io.StringIO()
    stream.write_embeddings_to_file(file)
    (tmp_path / "vectors.jsonl").write_text(file.getvalue() + "no json\n")
    client.create_dataset(
        "marsh", "day", dataset=dataset_of(boxed("a")), embeddings_url=str(tmp_path / "vectors.jsonl")
    )
    client.create_dataset("marsh", "night", dataset=stream)
    for name in ("day", "night"):
        (block,) = client.embeddings("marsh", name)
        assert (block.model, block.frame_ids, block.vectors.tolist()) == ("m", ["a"], [[1.0, 2.0]])
        (block,) = client.embeddings("marsh", name, crops=True)
        assert (block.label_ids, block.vectors.tolist()) == (["a-1"], [[3.0, 4.0]])
    assert [error["line"] for error in client.get_dataset_ingest_error_logs("marsh", "day")] == [2]
    client.add_to_streaming_dataset("marsh", "night", dataset_of(boxed("a", "Owl")), reuse_embeddings=True)
    assert len(list(client.embeddings("marsh", "night"))) == 1
    client.add_to_streaming_dataset("marsh", "night", dataset_of(boxed("a")))
    assert list(client.embeddings("marsh", "night")) == []


def test_a_frame_that_is_added_again_without_its_embedding_loses_it_also_after_a_change(client):
    frame, change = boxed("a"), LabeledFrame(frame_id="a", update_type="MODIFY")
    frame.add_frame_embedding(embedding=[1, 2], model_id="m")
    change.add_user_metadata("site", "marsh")
    client.create_dataset("marsh", "day", dataset=dataset_of(frame))
    client.add_to_streaming_dataset("marsh", "day", dataset_of(change))
    same = boxed("a")
    same.add_user_metadata("site", "marsh")
    client.add_to_streaming_dataset("marsh", "day", dataset_of(same))
    assert list(client.embeddings("marsh", "day")) == []
    client.add_to_streaming_dataset("marsh", "day", dataset_of(same))
    assert counts(client) == [("1", 1, 2, 0, 1, 0)]


def test_values_that_a_database_may_not_hold_fail_by_themselves(client, tmp_path):
    text = json.dumps(boxed("a", user_attrs={"gain": 0.5}).to_dict())
    lines = [
        text.replace('"user_metadata": []', r'"user_metadata": [{"key": "site", "type": "str", "value": "\ud800"}]'),
        text.replace("0.5", "1e999"),
    ]
    assert text not in lines
    (tmp_path / "frames.jsonl").write_text("\n".join([*lines, json.dumps(boxed("b").to_dict())]))
    client.create_dataset("marsh", "day", data_url=str(tmp_path / "frames.jsonl"))
    assert set(truth_of(client)) == {"b-1"}
    assert [error["line"] for error in client.get_dataset_ingest_error_logs("marsh", "day")] == [1, 2]
