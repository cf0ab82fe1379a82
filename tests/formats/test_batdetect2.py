import json
import shutil
from pathlib import Path

import pytest

BATS = Path(__file__).parents[3] / "shared/data/bats"
CALL = {"class": "Myotis", "start_time": 0.5, "end_time": 1.0, "low_freq": 40, "high_freq": 80, "det_prob": 0.9}


def content(*annotations: dict, **fields) -> str:
    return json.dumps({"id": "a.wav", "annotated": True, "time_exp": 1, "annotation": list(annotations)} | fields)


@pytest.mark.parametrize("format", ["auto", "batdetect2"])
def test_annotations_are_read_with_their_band(data_set, read, rows, format):
    contents = read(data_set(files={"annotations/a.wav.json": content(CALL)}), format=format)
    assert rows(contents) == [("a", "Myotis", 0.5, 1.0)] and contents.problems == []
    assert contents.annotations[["low_freq", "high_freq", "confidence"]].values.tolist() == [[40.0, 80.0, 0.9]]


def test_in_a_slowed_down_recording_calls_are_later_and_lower(data_set, read, rows):
    contents = read(data_set(files={"a.wav.json": content(CALL, time_exp=10)}))
    assert rows(contents) == [("a", "Myotis", 5.0, 10.0)]
    assert contents.annotations[["low_freq", "high_freq"]].values.tolist() == [[4.0, 8.0]]


def test_faults_are_named_and_the_rest_is_used(data_set, read, rows):
    files = {
        "a.wav.json": content(CALL, CALL | {"end_time": 0.2}, {"class": "Myotis"}),
        "b.wav.json": content(CALL, annotated=False),
        "c.json": '{"annotation": 3}',
    }
    folder = data_set(files=files)
    contents = read(folder)
    assert rows(contents) == [("a", "Myotis", 0.5, 1.0)]
    assert [(problem.subject, problem.fault.split(" (")[0]) for problem in contents.problems] == [
        (f"{folder}/b.wav.json", "is not marked as annotated"),
        (f"{folder}/c.json", "is not as batdetect2 writes it"),
        (f"{folder}/a.wav.json: annotation 2", "ends before it starts"),
        (f"{folder}/a.wav.json: annotation 3", "a time is not a number"),
    ]


@pytest.mark.skipif(not BATS.is_dir(), reason="../shared/data/bats is missing")
def test_real_annotations(tmp_path, read):
    folder = shutil.copytree(BATS, tmp_path / "bats")
    contents = read(folder)
    expected = [len(json.loads(file.read_text())["annotation"]) for file in sorted(folder.glob("*.json"))]
    assert contents.annotations["recording"].value_counts(sort=False).tolist() == expected
    assert contents.problems == [] and contents.annotations["high_freq"].min() > 20_000
