"""The server from its start to its end."""

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from tests.models.builders import save_random_model
from tests.server.server_process import PROJECT, ServerProcess, server_params
from tests.server.test_request_guard import MULTIPART, PART, answer, open_request
from tests.training_data.builders import AUDIO, write_data_set
from tests.waiting import wait_until

TOKEN = "a secret"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("serve")
    save_random_model(folder / "models/model.pt", AUDIO, ["high", "<b>low</b>", "mid"])
    write_data_set(folder / "data/set", 2, classes=("high", "mid"))
    (folder / "token").write_text(f"{TOKEN}\n")
    return folder


def test_the_documents_command_and_a_clean_end(folder):
    """With a token; requests in flight are finished, and no process is left."""
    params = server_params(
        folder / "params.yaml", folder, token_file=str(folder / "token"), allowed_hosts="sounds.example.org"
    )
    flags = ["--model-dir", f"{folder}/models/", "--host", "localhost", "--batch-size", 2, "--num-workers", 3]
    with ServerProcess(params, *flags, "--add-instrument-metrics") as server:
        assert [server.client.get(path).status_code for path in ("/health", "/", "/docs", "/openapi.json")] == [200] * 4
        assert server.client.get("/health", headers={"Host": "sounds.example.org"}).status_code == 200
        assert [server.client.get(path).status_code for path in ("/models", "/metrics", "/dataset-types")] == [401] * 3
        assert server.client.get("/models").headers["www-authenticate"] == "Bearer"
        for wrong in (f"Basic {TOKEN}", "Bearer wrong", f"Bearer {TOKEN}x", "Bearer", "Bearer \xe9"):
            response = server.client.get("/models", headers={"Authorization": wrong.encode("latin-1")})
            assert response.status_code == 401
        server.client.headers["Authorization"] = f"Bearer {TOKEN}"
        assert server.client.get("/models").json() == ["model.pt"]
        assert server.client.get("/openapi.json").json()["security"] == [{"token": []}]
        assert len(server.decoders()) == 3

        body = [{"dataset_type": "segments", "dataset_path": "set"}]
        figures = server.post("/model/test-directory", json=body).json()
        assert {f"instruments/{name}_f1" for name in ("high", "<b>low</b>", "mid")} <= figures.keys()
        assert max(bucket(server)) <= 2

        answers = []
        asking = threading.Thread(target=lambda: answers.append(server.predict(folder / "data/set/recordings/r00.wav")))
        children = psutil.Process(server.process.pid).children(recursive=True)
        with server.suspended():
            asking.start()
            wait_until(lambda: server.n_running() == 1)
            server.process.send_signal(signal.SIGTERM)
        asking.join(30)
        assert [answer.status_code for answer in answers] == [200]
        assert server.process.wait(30) == 0
        assert not [child for child in children if child.is_running()]
        assert server.errors == b""


def bucket(server: ServerProcess) -> list[float]:
    """Sizes of batches that there were."""
    text = server.client.get("/metrics").text
    lines = [line for line in text.splitlines() if line.startswith("earshot_batch_windows_bucket")]
    counts = [(line.split('"')[1], float(line.rpartition(" ")[2])) for line in lines]
    return [float(size) for (size, n), (_, before) in zip(counts, [("", 0), *counts], strict=False) if n > before]


def test_what_takes_longer_than_its_time_is_given_up(folder):
    """Of two recordings of a stream, one stalls in a suspended decoder; the other, which waits for longer than that
    until there is a new one, is scored."""
    params = server_params(folder / "hurried.yaml", folder, timeout=3, shutdown_timeout=1, workers=1)
    with ServerProcess(params) as server:
        with server.suspended():
            response = server.post("/model/predict-directory-stream", json=["set"])
        failed, scored = [json.loads(line) for line in response.text.splitlines()]
        assert [*failed.values()] == [{"error": f"{next(iter(failed))}: stalled for 3 s"}]
        assert [list(presence) for presence in scored.values()] == [["HIGH", "<B>LOW</B>", "MID"]]
        with server.suspended():
            response = server.predict(folder / "data/set/recordings/r00.wav")
        assert (response.status_code, response.headers["retry-after"]) == (503, "2")
        assert response.json() == {"detail": "took longer than 3 s"}
        assert server.n_running() == 0
        with open_request(server, MULTIPART | {"Content-Length": "1000"}, PART) as connection:
            wait_until(lambda: server.n_running() == 1)
            assert server.stop(signal.SIGINT) == 0
            assert answer(connection)[::2] == (503, {"detail": "the server is stopping"})


def test_faults_of_settings_are_told_in_a_line(folder):
    params = server_params(folder / "faulty.yaml", folder)
    assert lines_of_failure(params, "--host", "192.0.2.1") == [
        "warning: serve.host = '192.0.2.1': the server asks for no token; set serve.token_file or EARSHOT_TOKEN",
        "error: serve.host = '192.0.2.1', serve.port = 8090: cannot listen there (Cannot assign requested address); "
        "choose another, or stop what has the port",
    ]


def lines_of_failure(params: Path, *flags: object) -> list[str]:
    """What a server says that does not start."""
    command = [sys.executable, "-m", "stages.serve", "--params", params, *map(str, flags)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr.splitlines()


def test_decoders_that_cannot_start_end_the_server_in_a_line(folder):
    """Here, they are allowed more memory than any limit can say."""
    params = server_params(folder / "endless.yaml", folder, workers=2, decoder_memory_mb=10**15)
    assert lines_of_failure(params, "--port", 0) == [
        "error: a decoder does not start; see the lines above, or else correct serve.decoder_memory_mb"
    ]
