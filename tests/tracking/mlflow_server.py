"""A real MLflow server on a loopback port, and a real PostgreSQL for it to keep its tables in."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.rights import NOBODY
from tests.waiting import wait_until

START_SECONDS = 120
NEEDED_ONLY = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
"""Variables without which a server starts further processes, for tools of language models."""
FAST = ("-c", "fsync=off", "-c", "full_page_writes=off")
"""Options of a database that need not survive a power failure."""


class MlflowServer:
    """`mlflow server` on a free port; it serves artifacts itself.

    Args:
        database: URI of its tables.
        folder: a new folder, for its artifacts and its log.
    """

    def __init__(self, database: str, folder: Path) -> None:
        folder.mkdir(parents=True)
        port = free_port()
        self.url, self.artifacts, self.log = f"http://127.0.0.1:{port}", folder / "artifacts", folder / "server.log"
        options = ["--backend-store-uri", database, "--artifacts-destination", str(self.artifacts)]
        command = [sys.executable, "-m", "mlflow", "server", *options, "--port", str(port), "--workers", "1"]
        with self.log.open("wb") as log:
            options = {"cwd": folder, "env": os.environ | NEEDED_ONLY, "stdout": log, "stderr": log}
            self._process = subprocess.Popen(command, start_new_session=True, **options)
        try:
            wait_until(self._is_ready, START_SECONDS)
        except BaseException:
            self.kill()
            raise

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, self.log.read_text()
        try:
            return urllib.request.urlopen(f"{self.url}/health", timeout=5).status == 200
        except OSError:
            return False

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Within the block it takes requests and does not answer."""
        os.killpg(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it and its workers at once, as a crash would."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def __enter__(self) -> "MlflowServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def postgresql_programs() -> Path | None:
    """The folder of the newest PostgreSQL's programs; None if there is none."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return debian[-1].parent if debian else None


@contextmanager
def postgresql(programs: Path) -> Iterator[str]:
    """URI of an empty database of a new PostgreSQL on a free port, which lasts as long as the block."""
    # PostgreSQL refuses to run as root, and nobody else may enter the folders of pytest.
    user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory() as folder:
        if user:
            os.chown(folder, NOBODY, NOBODY)
        data, port = Path(folder, "data"), free_port()
        options = ["--username", "earshot", "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync"]
        subprocess.run([programs / "initdb", "-D", data, *options], cwd=folder, check=True, capture_output=True, **user)
        command = [programs / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", "", *FAST]
        with Path(folder, "log").open("wb") as log:
            process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, **user)
        try:
            is_ready = [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
            wait_until(lambda: subprocess.run(is_ready).returncode == 0, START_SECONDS)
            yield f"postgresql+psycopg://earshot@127.0.0.1:{port}/postgres"
        finally:
            process.send_signal(signal.SIGINT)  # which ends sessions, too
            process.wait(30)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]
