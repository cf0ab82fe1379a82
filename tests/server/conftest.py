import shutil
from pathlib import Path

import pytest

from tests.models.builders import save_random_model
from tests.recordings import noise, write
from tests.server.server_process import ServerProcess, server_params
from tests.training_data.builders import AUDIO, RATE, write_data_set

LIMITS = {
    "max_upload_mb": 2.0,
    "max_files": 4,
    "max_seconds": 60.0,
    "upload_timeout": 5.0,
    "max_requests": 8,
    "workers": 2,
}


@pytest.fixture(scope="session")
def served(tmp_path_factory) -> Path:
    """A folder with what a server serves, and beside it what it must not."""
    folder = tmp_path_factory.mktemp("served")
    save_random_model(folder / "models/model.pt", AUDIO, ["high", "low", "mid"])
    write_data_set(folder / "data/set", 4)
    write_data_set(folder / "data/sample/test", 1)  # of the examples in the description of the API
    write(folder / "data/mixed/good.wav", noise(2.0, RATE), RATE)
    (folder / "data/mixed/bad.wav").write_bytes(b"<html><script>alert(1)</script></html>")
    write_data_set(folder / "data_evil/set", 1)
    for name in ("models_evil", "models/hostile", "uploads"):
        (folder / name).mkdir()
    for name in ("model.pt", "model.json"):
        shutil.copy(folder / "models" / name, folder / "models_evil")
    (folder / "models/link.pt").symlink_to(folder / "models_evil/model.pt")
    (folder / "models/link.json").symlink_to(folder / "models_evil/model.json")
    (folder / "data/link").symlink_to(folder / "data_evil/set")
    (folder / "data/linked").mkdir()
    (folder / "data/linked/secret.wav").symlink_to(folder / "data_evil/set/recordings/r00.wav")
    return folder


@pytest.fixture(scope="session")
def server(served, tmp_path_factory):
    params = server_params(tmp_path_factory.mktemp("server") / "params.yaml", served, **LIMITS)
    with ServerProcess(params, environment={"TMPDIR": str(served / "uploads")}) as process:
        yield process


@pytest.fixture(autouse=True)
def _still_serves(request):
    """After each test of a server, it answers as before, and has shown no trace."""
    yield
    if "server" in request.fixturenames:
        process: ServerProcess = request.getfixturevalue("server")
        assert process.client.get("/health").json() == {"status": "ok"}
        assert b"Traceback" not in process.errors, process.errors.decode()
