"""The real server, as its user starts it, in a process of its own."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2
import psutil

from tests.training_data.builders import write_params
from tests.waiting import wait_until

PROJECT = Path(__file__).parents[2]
START_SECONDS = 120


class ServerProcess:
    """`python -m stages.serve`, or another stage that serves, on a free port.

    Args:
        params: the settings file.
        arguments: more of them, as flags.
        environment: variables besides the usual.
        waits: until the server is ready.
        stage: its name.
    """

    def __init__(
        self,
        params: Path,
        *arguments: object,
        environment: dict[str, str] | None = None,
        waits: bool = True,
        stage: str = "serve",
    ) -> None:
        command = [sys.executable, "-m", f"stages.{stage}", "--params", str(params), "--port", "0"]
        command += map(str, arguments)
        self.process = subprocess.Popen(
            command, cwd=PROJECT, env=os.environ | (environment or {}), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.errors = b""
        self._reader = threading.Thread(target=self._read_errors, daemon=True)
        self._reader.start()
        self.url = self.process.stdout.readline().decode().strip()
        if not self.url:
            self.process.wait(10)
            self._reader.join(10)
            raise RuntimeError(self.errors.decode())
        self.client = httpx2.Client(base_url=self.url, timeout=60)
        self.port = int(self.url.rpartition(":")[2])
        if waits:
            self.wait_until_ready()

    def _read_errors(self) -> None:
        for line in self.process.stderr:
            self.errors += line

    def wait_until_ready(self) -> None:
        wait_until(lambda: self.client.get("/ready").status_code == 200, START_SECONDS)

    def post(self, path: str, model: str = "model.pt", **arguments) -> httpx2.Response:
        return self.client.post(path, **{"params": {"model_ckpt_path": model}} | arguments)

    def predict(self, *contents: bytes | Path, name: str = "sound.wav", **arguments) -> httpx2.Response:
        read = [content if isinstance(content, bytes) else content.read_bytes() for content in contents]
        files = [("audio_files", (name, content, "audio/wav")) for content in read]
        return self.post("/model/predict-files", files=files, **arguments)

    def decoders(self) -> list[psutil.Process]:
        children = [child for child in psutil.Process(self.process.pid).children() if child.status() != "zombie"]
        return [child for child in children if "lib.server.decoder" in child.cmdline()]

    @contextmanager
    def suspended(self, *decoders: psutil.Process) -> Iterator[tuple[psutil.Process, ...]]:
        """Those decoders, which are all by default, do nothing meanwhile, so that requests last as long as wanted."""
        decoders = decoders or tuple(self.decoders())
        for decoder in decoders:
            decoder.suspend()
        try:
            yield decoders
        finally:
            for decoder in decoders:
                with suppress(psutil.NoSuchProcess):
                    decoder.resume()

    def n_running(self) -> int:
        """Requests for scores that are being answered."""
        return round(self.metric("earshot_requests_running"))

    def metric(self, name: str) -> float:
        lines = self.client.get("/metrics").text.splitlines()
        return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and wait for the end; returns the exit status."""
        self.client.close()
        self.process.send_signal(number)
        status = self.process.wait(30)
        self._reader.join(10)
        return status

    def __enter__(self) -> "ServerProcess":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def server_params(path: Path, folder: Path, infer: dict | None = None, **serve) -> Path:
    """Settings of a server of `models` and `data` in a folder; infer, serve: others to set."""
    places = {"model_dir": str(folder / "models"), "data_dir": str(folder / "data")}
    chosen = {"overlap": 0.25, "batch_size": 8, "device": "cpu", "precision": "32"} | (infer or {})
    return write_params(path, folder / "data", infer=chosen, serve=places | serve)
