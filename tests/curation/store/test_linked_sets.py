"""Linked sets: what is read from annotations, decisions and results."""

import csv

import numpy as np
import pytest
import soundfile

from lib import Inferences
from lib.config.schema import DataSettings
from lib.core.errors import EarshotError
from lib.results.results_store import ResultsStore
from lib.sound.labels import Label
from tests.curation.frame_builders import boxed, dataset_of, open_client, predicted
from tests.results.builders import make_manifest, write_recording


@pytest.fixture
def folder(tmp_path):
    """Recordings of 7 s, dawn and dusk, with annotations, and results for both."""
    folder = tmp_path / "field"
    (folder / "recordings").mkdir(parents=True)
    for name in ("dawn", "dusk"):
        soundfile.write(folder / "recordings" / f"{name}.wav", np.zeros(7 * 4000), 4000)
    annotate(folder, [("dawn", "a", 1, 4, 500, 900), ("dawn", "b", 0, 7, "", ""), ("dusk", "a", 5, 6, "", "")])
    with ResultsStore(tmp_path / "labels", make_manifest()) as store:
        labels = [Label("a", 1.5, 4.5, 0.75), Label("c", 0.0, 3.0, 0.5)]
        write_recording(store, "dawn", np.full((4, 3), 0.5, np.float32), labels)
        write_recording(store, "other", np.full((4, 3), 0.5, np.float32), labels[:1])
        store.commit()
    return folder


def annotate(folder, rows):
    with (folder / "annotations.csv").open("w", newline="") as file:
        header = [("recording", "class", "start_time", "end_time", "low_freq", "high_freq")]
        csv.writer(file).writerows([*header, *rows])


@pytest.fixture
def client(folder, tmp_path):
    with open_client(tmp_path, data=DataSettings(decisions=str(tmp_path / "decisions.csv"))) as client:
        client.create_dataset("marsh", "whole", data_url=str(folder))
        client.create_dataset("marsh", "windows", data_url=f"{folder}?window=3&hop=3")
        for name in ("whole", "windows"):
            client.create_inferences("marsh", name, "model", data_url=str(tmp_path / "labels"))
        yield client


def labels(tables) -> list[tuple]:
    rows = [row for table in tables for row in table.to_dict("records")]
    return [tuple(row[name] for name in ("frame_id", "class", "start_time", "end_time", "kind")) for row in rows]


def test_frames_are_recordings_with_their_annotations(client, folder):
    assert client.get_frame_ids("marsh", "whole") == ["dawn", "dusk"]
    found = labels(client.truth("marsh", "whole"))
    box = "2d_bbox"
    assert found == [("dawn", "a", 1, 4, box), ("dawn", "b", 0, 7, box), ("dusk", "a", 5, 6, box)]
    (first, *_) = client.get_frame("marsh", "whole", "dawn").to_dict()["label_data"]
    assert (first["left"], first["width"], first["top"], first["height"]) == (1.0, 3.0, 900.0, 400.0)


def test_frames_are_windows_that_cut_labels(client):
    assert client.get_frame_ids("marsh", "windows")[:3] == ["dawn@0-3", "dawn@3-6", "dawn@6-9"]
    found = labels(client.truth("marsh", "windows", ["dawn@0-3", "dawn@3-6"]))
    assert found == [
        ("dawn@0-3", "a", 1, 3, "2d_bbox"),
        ("dawn@0-3", "b", 0, 3, "2d_classification"),
        ("dawn@3-6", "a", 3, 4, "2d_bbox"),
        ("dawn@3-6", "b", 3, 6, "2d_classification"),
    ]


def test_any_stretch_of_a_recording_is_a_frame_where_frames_are_recordings(client):
    asked = ["dawn@3.5-5", "dusk", "dawn", "dawn@5-3", "dawn@nan-5", "noon@1-2", "dawn@1-2-3"]
    frames = [*client.frames("marsh", "whole", asked)]
    assert [(one.frame_id, one.recording, one.start_time) for one in frames] == [
        ("dawn", "dawn", 0.0),
        ("dawn@3.5-5", "dawn", 3.5),
        ("dusk", "dusk", 0.0),
    ]
    found = labels(client.truth("marsh", "whole", ["dawn@3.5-5"]))
    assert found == [("dawn@3.5-5", "a", 3.5, 4, "2d_bbox"), ("dawn@3.5-5", "b", 3.5, 5, "2d_classification")]
    found = labels(client.predictions("marsh", "whole", "model", ["dawn@3.5-5"]))
    assert found == [("dawn@3.5-5", "a", 3.5, 4.5, "2d_bbox")]
    assert [*client.frames("marsh", "windows", ["dawn@3.5-5"])] == []


def test_late_times_are_told_apart_in_ids(client, folder):
    soundfile.write(folder / "recordings" / "night.wav", np.zeros(1503 * 1000), 1000, subtype="PCM_16")
    annotate(folder, [("night", "a", 1500.251, 1500.752, "", ""), ("night", "a", 1500.254, 1500.752, "", "")])
    (table,) = client.truth("marsh", "whole")
    assert table["label_id"].tolist() == ["night/a/1500.251-1500.752", "night/a/1500.254-1500.752"]
    client.create_dataset("marsh", "short", data_url=f"{folder}?window=0.25&hop=0.25")
    frames = [name for name in client.get_frame_ids("marsh", "short") if name.startswith("night")]
    assert len(set(frames)) == len(frames) and "night@1500.25-1500.5" in frames
    (table,) = client.truth("marsh", "short", ["night@1500.25-1500.5", "night@1500.5-1500.75"])
    assert table[["start_time", "end_time"]].values.tolist() == [
        [1500.251, 1500.5],
        [1500.254, 1500.5],
        [1500.5, 1500.75],
        [1500.5, 1500.75],
    ]


def test_annotations_and_decisions_are_read_when_they_are_asked_for(client, folder, tmp_path):
    (tmp_path / "decisions.csv").write_text(
        "recording,start_time,end_time,class,decision,new_class,by,at,reason,content\n"
        "dusk,5,6,a,relabel,b,me,2026-01-01T00:00:00Z,,\n"
    )
    assert ("dusk", "b", 5, 6, "2d_bbox") in labels(client.truth("marsh", "whole"))
    annotate(folder, [("dusk", "c", 1, 2, "", ""), ("gone", "c", 1, 2, "", "")])
    assert ("dusk", "c", 1, 2, "2d_bbox") in labels(client.truth("marsh", "whole"))
    errors = client.get_dataset_ingest_error_logs("marsh", "whole")
    assert any("no such recording" in error["error"] for error in errors)


def test_label_ids_last_while_others_change(client, folder):
    def ids() -> set[str]:
        return {label_id for table in client.truth("marsh", "whole") for label_id in table["label_id"]}

    before = ids()
    annotate(folder, [("dawn", "a", 0, 0.5, "", ""), ("dawn", "a", 1, 4, 500, 900), ("dusk", "a", 5, 6, "", "")])
    assert len(ids() & before) == 2 and len(ids()) == 3


def test_predictions_are_those_of_the_results_store(client, tmp_path):
    found = labels(client.predictions("marsh", "whole", "model"))
    assert sorted(found) == [("dawn", "a", 1.5, 4.5, "2d_bbox"), ("dawn", "c", 0.0, 3.0, "2d_bbox")]
    in_windows = labels(client.predictions("marsh", "windows", "model"))
    assert sorted(in_windows) == [
        ("dawn@0-3", "a", 1.5, 3.0, "2d_bbox"),
        ("dawn@0-3", "c", 0.0, 3.0, "2d_classification"),
        ("dawn@3-6", "a", 3.0, 4.5, "2d_bbox"),
    ]
    with ResultsStore(tmp_path / "labels", make_manifest()) as store:
        write_recording(store, "dawn", np.full((4, 3), 0.5, np.float32), [Label("b", 1.0, 2.0, 0.25)])
        store.commit()
    (table,) = client.predictions("marsh", "whole", "model", ["dawn"])
    assert table[["label_id", "class", "confidence"]].values.tolist() == [["dawn/0", "b", 0.25]]
    assert [frame.frame_id for frame in client.source("marsh", "whole", "model").frames()] == ["dawn"]
    (content,) = client.source("marsh", "whole", "model").contents(["dawn", "dusk"])
    assert content["label_data"][0]["confidence"] == 0.25


def test_uploaded_predictions_and_linked_truth_go_together_and_the_other_way_round(client, tmp_path):
    inferences = Inferences()
    inferences.add_frame(predicted("dawn"))
    inferences.add_frame(predicted("noon"))
    client.create_inferences("marsh", "whole", "uploaded", inferences=inferences)
    assert [row[0] for row in labels(client.predictions("marsh", "whole", "uploaded"))] == ["dawn"]
    client.create_dataset("marsh", "mine", dataset=dataset_of(boxed("dawn"), boxed("dusk")))
    client.create_inferences("marsh", "mine", "model", data_url=str(tmp_path / "labels"))
    assert {row[0] for row in labels(client.predictions("marsh", "mine", "model"))} == {"dawn"}


def test_a_linked_set_has_no_frames_of_its_own(client, folder):
    with pytest.raises(EarshotError, match=r"is linked to .*decide"):
        client.add_to_streaming_dataset("marsh", "whole", dataset_of(boxed("dawn")))
    with pytest.raises(EarshotError, match="is linked to"):
        client.update_frames_metadata("marsh", "whole", {"dawn": {"site": "x"}})
    client.create_dataset("marsh", "mine", dataset=dataset_of(boxed("dawn")))
    with pytest.raises(EarshotError, match="cannot be linked"):
        client.create_dataset("marsh", "mine", data_url=str(folder))


@pytest.mark.parametrize(
    "query", ["window=x", "window=-3", "hop=3&window=inf", "part=validation", "colour=1", "format=wav"]
)
def test_a_url_that_says_something_else_links_nothing(client, folder, query):
    with pytest.raises(EarshotError):
        client.create_dataset("marsh", "new", data_url=f"{folder}?{query}")
    assert not client.dataset_exists("marsh", "new")


def test_a_link_to_what_is_gone_is_an_error_state(client, folder, tmp_path):
    (tmp_path / "labels" / "results.db").unlink()
    assert client.current_inferences_process_state("marsh", "whole", "model") == ("ERROR", 0.0)
    assert not client.is_inferences_processed("marsh", "whole", "model") and client.is_dataset_processed(
        "marsh", "whole"
    )
    for url in (tmp_path / "missing", tmp_path / "missing.jsonl"):
        with pytest.raises(EarshotError, match="missing"):
            client.create_dataset("marsh", "new", data_url=str(url))
    assert not client.dataset_exists("marsh", "new")
