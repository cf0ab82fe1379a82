"""Requests made from the server's own description of itself: none is answered with 5xx.

`make fuzz` makes more of each (EXAMPLES), and asks a server with a token, too.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server.conftest import LIMITS
from tests.server.server_process import ServerProcess, server_params

EXAMPLES = int(os.environ.get("EXAMPLES", "3"))


def make_requests(server: ServerProcess, folder: Path, *flags: str) -> None:
    """Fails if an answer is a fault of the server's."""
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json", *flags]
    options = ["--checks", "not_a_server_error", "--seed", "1", "--no-color", "--workers", "1"]
    options += ["--max-examples", str(EXAMPLES)]
    patience = 100 * EXAMPLES
    done = subprocess.run([*command, *options], cwd=folder, capture_output=True, text=True, timeout=patience)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_no_request_that_fits_the_description_or_does_not_is_a_fault_of_ours(server, tmp_path):
    make_requests(server, tmp_path)


@pytest.mark.faults
def test_nor_is_one_with_a_token_or_that_lacks_it(served, tmp_path):
    token = tmp_path / "token"
    token.write_text("a secret")
    params = server_params(tmp_path / "params.yaml", served, token_file=str(token), **LIMITS)
    with ServerProcess(params) as server:
        make_requests(server, tmp_path, "--header", "Authorization: Bearer a secret")
        make_requests(server, tmp_path)
        assert server.client.get("/health").json() == {"status": "ok"}
        assert b"Traceback" not in server.errors
