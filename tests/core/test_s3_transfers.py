import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from lib.core import http_transfers
from lib.core.downloads import fetch
from lib.core.errors import EarshotError
from lib.core.http_transfers import TransferLimits
from tests.core.s3_server import S3Server

PROJECT = Path(__file__).parents[2]
CONTENT = os.urandom(300_000)


@pytest.fixture
def settings(tmp_path, monkeypatch) -> None:
    """Settings of S3 without credentials, whatever this machine has."""
    monkeypatch.setattr(http_transfers, "PAUSE_SECONDS", 0.0)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))


@pytest.fixture
def server(settings, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    server = S3Server()
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    thread.join()
    server.server_close()


@contextmanager
def refused(match, folder):
    with pytest.raises(EarshotError, match=match) as raised:
        yield
    assert "\n" not in str(raised.value) and "secret" not in str(raised.value)
    assert list(folder.iterdir()) == []


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_an_object_is_fetched_as_a_file(server, tmp_path):
    server.buckets["frogs"] = {"models/tree frog%20.pt": CONTENT, "models/tree frog%20.pt.txt": b"notes"}
    path = fetch("s3://frogs/models/tree frog%20.pt", tmp_path / "new", hashlib.sha256(CONTENT).hexdigest())
    assert path == tmp_path / "new/tree frog .pt" and path.read_bytes() == CONTENT
    assert files_of(tmp_path / "new") == {path.name}


@pytest.mark.parametrize("url", ["s3://frogs/models", "s3://frogs/models/"])
def test_a_folder_is_fetched_with_all_pages_of_its_objects(server, tmp_path, url):
    objects = {"models/m.pt": CONTENT, "models/deep/m.json": b"{}", "models/a b": b"1", "models/": b""}
    server.buckets["frogs"] = objects | {"models-of-others/x": b"2", "models/empty/": b""}
    server.page_size = 1
    folder = fetch(url, tmp_path)
    assert folder == tmp_path / "models" and files_of(folder) == {"m.pt", "deep/m.json", "a b"}
    assert (folder / "m.pt").read_bytes() == CONTENT


def test_a_whole_bucket_is_a_folder(server, tmp_path):
    server.buckets["frogs"] = {"m.pt": CONTENT}
    assert files_of(fetch("s3://frogs", tmp_path)) == {"m.pt"}


def test_a_transfer_that_breaks_off_is_restarted(server, tmp_path):
    server.buckets["frogs"] = {"m.pt": CONTENT}
    server.faults, server.breaks = [(503, "SlowDown"), (500, "InternalError")], [100_000]
    limits = TransferLimits(largest=len(CONTENT))  # what is fetched again does not count twice
    assert fetch("s3://frogs/m.pt", tmp_path, limits=limits).read_bytes() == CONTENT
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("s3://frogs/none.pt", "no such object or folder; check the URL"),
        ("s3://frogs/models/none/", "no such object or folder"),
        ("s3://toads/m.pt", "no such bucket; check the URL"),
        ("s3://no bucket/m.pt", "has an invalid bucket name; check the URL"),
        ("s3://frogs/m.pt?versionId=1", "s3://frogs/m.pt: has a query"),
        ("s3:///m.pt", "names no host"),
    ],
)
def test_what_is_missing_is_one_clear_line(server, tmp_path, url, fault):
    server.buckets["frogs"] = {"m.pt": CONTENT}
    (tmp_path / "out").mkdir()
    with refused(fault, tmp_path / "out"):
        fetch(url, tmp_path / "out")


def test_a_denied_request_is_one_clear_line_and_not_repeated(server, tmp_path):
    for status, code in ((403, "InvalidAccessKeyId"), (403, "AccessDenied")):
        server.faults = [(status, code)]
        with refused(f"access is denied: {code}.*check the URL and your S3 credentials", tmp_path):
            fetch("s3://frogs/m.pt", tmp_path)
    assert len(server.requests) == 2


def test_missing_credentials_are_one_clear_line(server, tmp_path, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with refused("no S3 credentials were found.*set AWS_ACCESS_KEY_ID", tmp_path):
        fetch("s3://frogs/m.pt", tmp_path)
    monkeypatch.setenv("AWS_PROFILE", "pond")
    with refused(r"profile \(pond\) could not be found", tmp_path):
        fetch("s3://frogs/m.pt", tmp_path)
    assert server.requests == []


def test_transfers_beyond_a_limit_are_refused(server, tmp_path):
    server.buckets["frogs"] = {"models/m.pt": CONTENT, "models/n.pt": CONTENT}
    with refused("is larger than", tmp_path):
        fetch("s3://frogs/models/m.pt", tmp_path, limits=TransferLimits(largest=len(CONTENT) - 1))
    with refused("is larger than", tmp_path):
        fetch("s3://frogs/models", tmp_path, limits=TransferLimits(largest=2 * len(CONTENT) - 1))
    with refused("more than 1 files", tmp_path):
        fetch("s3://frogs/models", tmp_path, limits=TransferLimits(most_files=1))
    with refused("takes too long", tmp_path):
        fetch("s3://frogs/models/m.pt", tmp_path, limits=TransferLimits(longest_seconds=0.0))


@pytest.mark.parametrize("key", ["../m.pt", "/m.pt", "a/../../m.pt", "a//m.pt", "C:/m.pt", "a\nb"])
def test_a_key_that_leads_out_of_its_folder_is_refused(server, tmp_path, key):
    server.buckets["frogs"] = {f"models/{key}": b"any"}
    with refused("absolute path|leave the folder|name cannot be used", tmp_path):
        fetch("s3://frogs/models", tmp_path)


def test_keys_that_are_one_file_on_some_disk_are_refused(server, tmp_path):
    server.buckets["frogs"] = {"models/a": b"1", "models/A": b"2"}
    with refused("two files of one name", tmp_path):
        fetch("s3://frogs/models", tmp_path)


def test_a_silent_server_times_out_once(server, tmp_path):
    server.is_silent = True
    begin = time.monotonic()
    with refused("it timed out", tmp_path):
        fetch("s3://frogs/m.pt", tmp_path, limits=TransferLimits(wait_seconds=0.3))
    assert len(server.requests) == 1 and time.monotonic() - begin < 20


def test_a_server_that_is_away_is_one_clear_line(server, tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    for url, fault in ((f"http://127.0.0.1:{port}", "Could not connect"), ("any", "Invalid endpoint")):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        with refused(f"cannot be fetched .*{fault}", tmp_path):
            fetch("s3://frogs/m.pt", tmp_path)


def test_a_server_that_does_not_speak_the_protocol_is_one_clear_line(server, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.core.s3_server.ANSWER", "<html>{}")
    server.buckets["frogs"] = {}
    with refused("cannot be fetched", tmp_path):
        fetch("s3://frogs/models/", tmp_path)


def test_a_folder_that_fails_halfway_leaves_nothing(server, tmp_path):
    server.buckets["frogs"] = {"models/a": b"1", "models/b": CONTENT}
    server.breaks = [1, *[100] * http_transfers.ATTEMPTS]
    with refused("cannot be fetched", tmp_path):
        fetch("s3://frogs/models", tmp_path)


def test_the_libraries_of_s3_are_imported_only_when_they_are_needed():
    code = "import sys, lib.core.downloads; sys.exit('botocore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT).returncode == 0
