"""What the server answers, beside what the same models find offline."""

import json
import threading

import numpy as np
import pytest

from lib.config.load import load_settings
from lib.formats import READERS
from lib.inference.predictor import Predictor
from lib.server.app import make_app
from tests.recordings import noise, write
from tests.server.server_process import server_params
from tests.training_data.builders import RATE, write_clips, write_data_set

FIGURES = ["accuracy", "hamming_distance", "f1", "precision", "recall"]


@pytest.fixture(scope="module")
def predictor(served, tmp_path_factory) -> Predictor:
    params = server_params(tmp_path_factory.mktemp("offline") / "params.yaml", served)
    return Predictor(served / "models/model.pt", "cpu", load_settings(params))


@pytest.fixture(scope="module")
def expected(served, predictor) -> dict[str, dict[str, int]]:
    """Presence of each class in the recordings of the set: the mean of windows' scores reaches infer.min_score."""
    found = {}
    for file in sorted((served / "data/set/recordings").iterdir()):
        scores, _, _ = predictor.get_recording_scores(file)
        present = (scores.mean(axis=0) >= 0.5).astype(int).tolist()
        found[file.stem] = dict(zip(["HIGH", "LOW", "MID"], present, strict=True))
    return found


def lines(response) -> list[dict]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in response.text.splitlines()]


def test_models_are_listed_by_their_paths_below_the_folder(server):
    assert server.client.get("/models").json() == ["model.pt"]


def test_types_of_data_sets_are_listed(server):
    types = server.client.get("/dataset-types").json()
    assert types == ["inference", *READERS]
    assert {"irmastrain", "irmastest", "csv", "inference", "openmic"} <= set(types)


def test_uploaded_files_are_predicted_in_their_order(server, served, expected):
    files = sorted((served / "data/set/recordings").iterdir())
    response = server.predict(*files[::-1])
    assert response.json() == list(expected.values())[::-1]


def test_folders_are_predicted_by_file_name(server, expected):
    assert server.post("/model/predict-directory", json=["set"]).json() == expected


def test_a_recording_of_a_folder_that_is_given_twice_is_predicted_once(server, expected):
    assert server.post("/model/predict-directory", json=["set", "set/recordings", "set"]).json() == expected


def test_recordings_of_a_table_are_predicted(server, served, expected):
    table = served / "data/set/list.csv"
    table.write_text("file,ignored\nrecordings/r01.wav,X\n../../data_evil/set/recordings/r00.wav,X\n")
    try:
        found = server.post("/model/predict-directory", json=["set/list.csv"]).json()
    finally:
        table.unlink()
    assert found == {"r01": expected["r01"], "r00": {"error": "lies outside of the served folder"}}


def test_a_stream_has_a_line_for_each_recording(server, expected):
    found = lines(server.post("/model/predict-directory-stream", json=["set"]))
    assert {name: value for line in found for name, value in line.items()} == expected
    assert len(found) == len(expected)


def test_a_stream_sends_lines_as_they_come(server, served, tmp_path):
    """One of two decoders is suspended: the line of the recording that the other reads comes nevertheless."""
    for name in "ab":
        write(served / f"data/two/{name}.wav", noise(1.0, RATE), RATE)
    asked = {"params": {"model_ckpt_path": "model.pt"}, "json": ["two"]}
    with (
        server.suspended(server.decoders()[0]) as suspended,
        server.client.stream("POST", "/model/predict-directory-stream", **asked) as response,
    ):
        arrived = iter(response.iter_lines())
        first = json.loads(next(arrived))
        assert server.n_running() == 1
        suspended[0].resume()
        second = json.loads(next(arrived))
    assert sorted([*first, *second]) == ["a", "b"]


def test_a_recording_that_cannot_be_read_costs_no_other(server):
    found = server.post("/model/predict-directory", json=["mixed"]).json()
    assert set(found["good"]) == {"HIGH", "LOW", "MID"}
    assert found["bad"]["error"].startswith("bad: cannot be decoded")


def test_a_folder_is_tested_by_its_labels(server, expected):
    body = [{"dataset_type": "segments", "dataset_path": "set"}]
    answer = server.post("/model/test-directory", json=body).json()
    predictions = answer.pop("predictions")
    assert predictions == expected
    found = np.array([list(each.values()) for each in expected.values()])
    assert answer["accuracy"] == pytest.approx(found.mean())  # all three classes sound in each recording
    assert answer["hamming_distance"] == pytest.approx(1 - found.mean())
    assert answer["recall"] == pytest.approx(found.mean(axis=0).mean())
    assert not [name for name in answer if name.startswith("instruments/")]
    assert {*FIGURES} <= answer.keys()


@pytest.mark.parametrize("kind", ["irmastrain", "irmastest", "csv", "openmic"])
def test_clips_with_labels_of_each_type_are_tested(server, served, kind):
    truths = write_clips(served / "data" / kind, kind)
    answer = server.post("/model/test-directory", json=[{"dataset_type": kind, "dataset_path": kind}]).json()
    assert answer["predictions"].keys() == truths.keys()
    found = np.array([list(answer["predictions"][clip].values()) for clip in truths], bool)
    truth = np.array([[name == each for each in ("high", "low", "mid")] for name in truths.values()])
    assert answer["accuracy"] == pytest.approx((found == truth).mean())
    assert answer["recall"] == pytest.approx(
        np.mean([found[rows, column].mean() for column, rows in enumerate(truth.T)])
    )


def test_a_streamed_test_ends_with_its_figures(server, expected):
    body = [{"dataset_type": "segments", "dataset_path": "set"}]
    *results, figures = lines(server.post("/model/test-directory-stream", json=body))
    assert {name: each for line in results for name, each in line["predictions"].items()} == expected
    answer = server.post("/model/test-directory", json=body).json()
    assert figures == {name: value for name, value in answer.items() if name != "predictions"}


def test_a_test_without_any_recording_that_can_be_read_has_no_figures(server, served):
    write_data_set(served / "data/unreadable", 1)
    (served / "data/unreadable/recordings/r00.wav").write_bytes(b"no sound")
    body = [{"dataset_type": "segments", "dataset_path": "unreadable"}]
    response = server.post("/model/test-directory", json=body)
    assert (response.status_code, response.json()["detail"][0]["msg"]) == (422, "no recording could be read")
    *_, last = lines(server.post("/model/test-directory-stream", json=body))
    assert last == {"error": "no recording could be read"}


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("inference", "must be a type with labels"),
        ("nonsense", "must be a type"),
        ("irmastrain", "set: holds no recordings"),
    ],
)
def test_a_folder_without_labels_of_that_type_is_refused(server, kind, fault):
    response = server.post("/model/test-directory", json=[{"dataset_type": kind, "dataset_path": "set"}])
    assert response.status_code == 422
    assert fault in response.json()["detail"][0]["msg"]


def test_the_page_gets_scores_over_time(server, served, predictor):
    file = served / "data/set/recordings/r00.wav"
    response = server.post("/model/analyze-file", files={"audio_files": ("r00.wav", file.read_bytes())})
    analysis = response.json()
    scores, _, starts = predictor.get_recording_scores(file)
    assert analysis["starts"] == pytest.approx(starts)
    assert np.array(analysis["scores"]) == pytest.approx(scores, abs=1e-4)
    assert analysis["clip"] == pytest.approx(scores.mean(axis=0), abs=1e-4)
    assert analysis["seconds"] == pytest.approx(3.0, abs=0.02)
    assert analysis["spectrogram"]["height"] == 16
    assert max(analysis["waveform"]["high"]) == pytest.approx(0.3, abs=0.02)
    assert len(analysis["waveform"]["low"]) == analysis["spectrogram"]["width"]


def test_bad_audio_gets_one_clear_line(server):
    response = server.predict(b"<html><script>alert(1)</script></html>", name="page.wav")
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/json"
    (fault,) = response.json()["detail"]
    assert fault["loc"] == ["body", "audio_files", 0]
    assert (
        fault["msg"] == "page.wav: cannot be decoded (no known sound format); convert it to WAV or FLAC, or remove it"
    )


def test_documentation_and_page_come_from_this_server_alone(server):
    for path in ("/", "/docs"):
        page = server.client.get(path)
        assert page.status_code == 200
        assert "//" not in page.text.replace("<!doctype html>", "")  # no address of another server
        for name in ("script-src 'self'", "default-src 'none'", "frame-ancestors 'none'"):
            assert name in page.headers["content-security-policy"]
        assert "<script>" not in page.text and "style=" not in page.text and "onload" not in page.text
    for path in ("page.js", "page.css", "docs.js", "docs/swagger-ui-bundle.js", "docs/swagger-ui.css"):
        assert server.client.get(f"/static/{path}").status_code == 200


def test_figures_for_prometheus(server, served):
    before = server.metric("earshot_sound_seconds_total")
    server.predict(served / "data/set/recordings/r00.wav")
    assert server.metric("earshot_sound_seconds_total") == pytest.approx(before + 3, abs=0.05)
    assert server.metric("earshot_decoders ") == 2
    assert server.metric('earshot_requests_total{route="/model/predict-files",status="200"}') >= 1


def test_an_application_that_only_describes_itself_starts_nothing(tmp_path, served):
    before = threading.active_count()
    assert make_app(load_settings(server_params(tmp_path / "params.yaml", served))).openapi()["paths"]
    assert threading.active_count() == before
