import json


def test_each_recording_has_its_labels(write_labels):
    content = json.loads(write_labels("json").read_text(encoding="utf-8"))
    assert [(entry["recording"], len(entry["labels"])) for entry in content] == [
        ("a/r01", 2),
        ("quiet", 0),
        ("b/r01", 1),
    ]
    assert content[2]["labels"] == [{"name": "Wren, winter", "start_time": 1.5, "end_time": 3.0, "score": 0.25}]
    assert (content[0]["seconds"], content[0]["path"]) == (60.0, "field/a/r01.wav")
    assert json.loads(write_labels("json", ()).read_text()) == []
