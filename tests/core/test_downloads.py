import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lib.core import http_transfers
from lib.core.downloads import fetch
from lib.core.errors import EarshotError
from lib.core.http_transfers import TransferLimits
from tests.internet import Internet
from tests.waiting import wait_until

PROJECT = Path(__file__).parents[2]
CONTENT = os.urandom(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT at any path, as the server's attributes say."""

    def do_GET(self):
        site = self.server
        site.requests.append((self.path, dict(self.headers)))
        if self.path in site.moved:
            self.send_response(302)
            self.send_header("Location", site.moved[self.path])
            self.end_headers()
            return
        if self.path.startswith("/missing"):
            self.send_error(404)
            return
        content, first = site.content, 0
        wanted = self.headers.get("Range", "")
        if site.has_ranges and wanted and self.headers.get("If-Range") == site.tag:
            first = int(wanted.removeprefix("bytes=").partition("-")[0])
            if first >= len(content):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        if site.tells_length:
            self.send_header("Content-Length", str(len(content) - first))
        if site.tag:
            self.send_header("ETag", site.tag)
        for name, value in site.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if site.breaks:
            self.wfile.write(content[first : first + site.breaks.pop(0)])
            self.wfile.flush()
            self.close_connection = True
            return
        if site.stalls:
            self.wfile.write(site.first)
            self.wfile.flush()
            site.over.wait(30)
            return
        self.wfile.write(content[first:])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def site(monkeypatch):
    """A real HTTP server on loopback."""
    monkeypatch.setattr(http_transfers, "PAUSE_SECONDS", 0.0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.content, server.tag, server.has_ranges, server.tells_length = CONTENT, '"one"', True, True
    server.moved, server.headers, server.breaks, server.stalls = {}, {}, [], False
    server.requests, server.over, server.first = [], threading.Event(), b""
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    thread.join()
    server.server_close()


@contextmanager
def refused(match, folder, kept=()):
    with pytest.raises(EarshotError, match=match) as raised:
        yield
    assert "\n" not in str(raised.value)
    assert {path.name for path in folder.glob("[!.]*")} == set(kept)


def test_a_file_is_saved_under_its_name_in_the_url(site, tmp_path):
    path = fetch(f"{site.url}/models/frog%20two.pt?download=true", tmp_path / "new", SHA256.upper(), allow_private=True)
    assert path == tmp_path / "new/frog two.pt" and path.read_bytes() == CONTENT
    assert [each.name for each in (tmp_path / "new").iterdir()] == ["frog two.pt"]


def test_a_missing_or_unsafe_file_name_is_replaced(site, tmp_path):
    names = [fetch(site.url + path, tmp_path, allow_private=True).name for path in ("/", "/a/..%2F..%2Fx", "/%00")]
    assert names == ["download", "_.._x", "_x00"]


def test_a_transfer_that_breaks_off_is_resumed(site, tmp_path):
    site.breaks = [1_000_000, 500_000]
    assert fetch(f"{site.url}/m.pt", tmp_path, SHA256, allow_private=True).read_bytes() == CONTENT
    assert [headers.get("Range") for _, headers in site.requests] == [None, "bytes=1000000-", "bytes=1500000-"]


@pytest.mark.parametrize("change", ["no ranges", "no tag", "another file"])
def test_a_transfer_that_cannot_be_resumed_is_restarted(site, tmp_path, change):
    site.breaks = [1_000_000]
    site.has_ranges = change != "no ranges"
    if change == "no tag":
        site.tag = ""
    path = tmp_path / "m.pt"
    if change == "another file":
        site.breaks = [100] * http_transfers.ATTEMPTS
        with refused("closed early", tmp_path):
            fetch(f"{site.url}/m.pt", tmp_path, allow_private=True)
        site.breaks, site.tag = [], '"two"'
    assert fetch(f"{site.url}/m.pt", tmp_path, SHA256, allow_private=True) == path
    assert path.read_bytes() == CONTENT


def test_the_next_call_resumes_a_transfer_that_ended_in_an_error(site, tmp_path):
    site.breaks = [100_000] * http_transfers.ATTEMPTS
    with refused(r"m\.pt: cannot be fetched \(the connection was closed early\)", tmp_path):
        fetch(f"{site.url}/m.pt", tmp_path, allow_private=True)
    assert fetch(f"{site.url}/m.pt", tmp_path, SHA256, allow_private=True).read_bytes() == CONTENT
    assert site.requests[-1][1]["Range"] == "bytes=400000-"
    assert [each.name for each in tmp_path.iterdir()] == ["m.pt"]


def test_the_next_call_resumes_what_a_killed_process_left(site, tmp_path):
    site.stalls, site.first = True, CONTENT[:1_000_000]
    code = f"from lib.core.downloads import fetch; fetch({site.url + '/m.pt'!r}, {str(tmp_path)!r}, allow_private=True)"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT)
    part = tmp_path / ".m.pt.part"
    try:
        wait_until(lambda: part.exists() and part.stat().st_size == 1_000_000)
    finally:
        process.kill()
        process.wait()
    assert not (tmp_path / "m.pt").exists()
    site.stalls = False
    assert fetch(f"{site.url}/m.pt", tmp_path, SHA256, allow_private=True).read_bytes() == CONTENT
    assert site.requests[-1][1]["Range"] == "bytes=1000000-"
    assert [each.name for each in tmp_path.iterdir()] == ["m.pt"]


def test_leftovers_of_other_transfers_are_not_taken_for_the_file(site, tmp_path):
    (tmp_path / ".m.pt.part").write_bytes(b"of another")
    (tmp_path / ".m.pt.state.part").write_text('http://elsewhere/m.pt\n"one"\n')
    assert fetch(f"{site.url}/m.pt", tmp_path, SHA256, allow_private=True).read_bytes() == CONTENT
    (tmp_path / ".m.pt.part").write_bytes(CONTENT)
    (tmp_path / ".m.pt.state.part").write_text(f'{site.url}/m.pt\n"one"\n')
    assert fetch(f"{site.url}/m.pt", tmp_path, SHA256, allow_private=True).read_bytes() == CONTENT


def test_a_file_that_is_too_large_is_refused_with_and_without_a_declared_length(site, tmp_path):
    limits = TransferLimits(largest=2_000_000)
    for site.tells_length in (True, False):
        with refused("is larger than 0.002 GB", tmp_path):
            fetch(f"{site.url}/m.pt", tmp_path, allow_private=True, limits=limits)


def test_a_silent_server_times_out(site, tmp_path):
    site.stalls = True
    begin = time.monotonic()
    with refused("timed out", tmp_path):
        fetch(f"{site.url}/m.pt", tmp_path, allow_private=True, limits=TransferLimits(wait_seconds=0.2))
    assert time.monotonic() - begin < 10


def test_an_endless_transfer_is_stopped(site, tmp_path):
    with refused("takes too long", tmp_path):
        fetch(f"{site.url}/m.pt", tmp_path, allow_private=True, limits=TransferLimits(longest_seconds=0.0))


def test_a_wrong_digest_is_refused(site, tmp_path):
    with refused(f"digest is {SHA256}, not {'0' * 64}", tmp_path):
        fetch(f"{site.url}/m.pt", tmp_path, "0" * 64, allow_private=True)
    assert not list(tmp_path.iterdir())
    (tmp_path / "source").mkdir()
    (tmp_path / "source/m.pt").write_bytes(CONTENT)
    with refused("digest is", tmp_path, ["source"]):
        fetch((tmp_path / "source/m.pt").as_uri(), tmp_path, "0" * 64)


def test_redirects_are_followed_up_to_a_limit(site, tmp_path):
    site.moved = {"/m.pt": "/b", "/b": f"{site.url}/c"}
    assert fetch(f"{site.url}/m.pt", tmp_path, SHA256, allow_private=True).name == "m.pt"
    site.moved = {"/m.pt": "/m.pt"}
    with refused("redirected more than 5 times", tmp_path, ["m.pt"]):
        fetch(f"{site.url}/m.pt", tmp_path, allow_private=True)


@pytest.mark.parametrize("place", ["file:///etc/passwd", "s3://bucket/x", "ftp://frogs.example/x"])
def test_redirects_to_other_schemes_are_refused(site, tmp_path, place):
    site.moved = {"/m.pt": place}
    with refused("is redirected to|is not a URL", tmp_path):
        fetch(f"{site.url}/m.pt", tmp_path, allow_private=True)


def test_errors_of_a_server_are_one_clear_line(site, tmp_path):
    with refused("missing: the server answers 404 Not Found; check the URL", tmp_path):
        fetch(f"{site.url}/missing?token=secret", tmp_path, allow_private=True)
    site.headers = {"Content-Encoding": "gzip"}
    with refused("sent compressed", tmp_path):
        fetch(f"{site.url}/m.pt", tmp_path, allow_private=True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with refused("refused", tmp_path):
        fetch(f"http://127.0.0.1:{port}/m.pt", tmp_path, allow_private=True)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x",
        "http://localhost/x",
        "http://[::1]/x",
        "http://10.0.0.1/x",
        "http://192.168.1.1/x",
        "http://169.254.169.254/latest/meta-data",
        "http://0.0.0.0/x",
        "http://[::ffff:127.0.0.1]/x",
        "http://[fe80::1]/x",
        "http://[fc00::1]/x",
        "http://2130706433/x",
        "http://0x7f.1/x",
    ],
)
def test_addresses_that_are_not_public_are_refused(tmp_path, url):
    with refused("not public|cannot be found", tmp_path):
        fetch(url, tmp_path)


def test_private_addresses_must_be_allowed_and_link_local_ones_are_always_refused(site, tmp_path):
    with refused("not public.*set tracking.allow_private_addresses if that server is yours", tmp_path):
        fetch(f"{site.url}/m.pt", tmp_path)
    for place in ("http://169.254.169.254/latest/meta-data", "http://[fd00:ec2::254]/latest", "http://0.0.0.0/x"):
        with refused("not public.*give a URL on the internet$", tmp_path):
            fetch(place, tmp_path, allow_private=True)
        site.moved = {"/m.pt": place}
        with refused("not public", tmp_path):
            fetch(f"{site.url}/m.pt", tmp_path, allow_private=True)
    port = site.server_address[1]
    assert fetch(f"http://localhost:{port}/n.pt", tmp_path, SHA256, allow_private=True).name == "n.pt"


@pytest.fixture
def internet(site, monkeypatch) -> Internet:
    """Names of hosts, for which the site answers."""
    return Internet(monkeypatch, site.server_address)


def test_a_redirect_to_a_private_address_is_refused(site, internet, tmp_path):
    internet.names |= {"frogs.example": ["93.184.216.34"], "inside.example": ["10.0.0.1"]}
    for place in ("http://169.254.169.254/latest", "http://inside.example/x", "//127.0.0.1/x"):
        site.moved = {"/m.pt": place}
        with refused("not public", tmp_path):
            fetch("http://frogs.example/m.pt", tmp_path)
    assert set(internet.connected) == {"93.184.216.34"}


def test_a_redirect_from_the_internet_into_a_private_network_is_always_refused(site, internet, tmp_path):
    internet.names["frogs.example"] = ["93.184.216.34"]
    site.moved = {"/m.pt": f"{site.url}/n.pt", "/inside.pt": "http://frogs.example/m.pt"}
    with refused("not public", tmp_path):
        fetch("http://frogs.example/m.pt", tmp_path, allow_private=True)
    with refused("not public", tmp_path):
        fetch(f"{site.url}/inside.pt", tmp_path, allow_private=True)


def test_a_host_that_changes_its_address_is_reached_at_the_checked_one(site, internet, tmp_path):
    internet.names["frogs.example"] = ["93.184.216.34", "127.0.0.1"]
    assert fetch("http://frogs.example/m.pt", tmp_path, SHA256).read_bytes() == CONTENT
    assert internet.connected == ["93.184.216.34"]
    with refused("not public", tmp_path, ["m.pt"]):
        fetch("http://frogs.example/m.pt", tmp_path)


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("ftp://frogs.example/x", "is not a URL that can be fetched"),
        ("model.pt", "is not a URL"),
        ("http:///x", "names no host"),
        ("http://frogs.example:port/x", "is not a URL"),
        ("https://me:secret@frogs.example/x", "https://frogs.example/x: contains a user name"),
        ("http://frogs.example/a\nb", "is not a URL"),
        ("file://elsewhere/x", "is on another machine"),
        ("file:///no/such", "no such file"),
    ],
)
def test_what_cannot_be_fetched_is_one_clear_line(tmp_path, url, fault):
    with refused(fault, tmp_path):
        fetch(url, tmp_path)


def test_a_file_url_is_copied_from_allowed_folders_only(tmp_path):
    for name in ("shared", "secret", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "shared/two words.pt").write_bytes(b"tensors")
    (tmp_path / "secret/key").write_bytes(b"secret")
    (tmp_path / "shared/link").symlink_to(tmp_path / "secret/key")
    roots, out = [tmp_path / "shared"], tmp_path / "out"
    path = fetch((tmp_path / "shared/two words.pt").as_uri(), out, file_roots=roots)
    assert path == out / "two words.pt" and path.read_bytes() == b"tensors"
    path.unlink()
    outside = [
        tmp_path / "secret/key",
        tmp_path / "shared/link",
        tmp_path / "shared/../secret/key",
        tmp_path / "shared",
    ]
    for each in outside:
        with refused("outside the allowed folders", out):
            fetch(f"file://{each}".replace(" ", "%20"), out, file_roots=roots)
    assert fetch((tmp_path / "secret/key").as_uri(), out).read_bytes() == b"secret"


def test_a_folder_is_copied_whole_and_a_pipe_is_refused(tmp_path):
    (tmp_path / "model/deep").mkdir(parents=True)
    (tmp_path / "model/a").write_bytes(b"1")
    (tmp_path / "model/deep/b").write_bytes(b"2")
    path = fetch((tmp_path / "model").as_uri(), tmp_path / "out")
    assert {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()} == {"a", "deep/b"}
    os.mkfifo(tmp_path / "model/pipe")
    with refused("cannot be copied", tmp_path / "other"):
        fetch((tmp_path / "model").as_uri(), tmp_path / "other")
    with refused("larger than", tmp_path / "other"):
        fetch((tmp_path / "model/a").as_uri(), tmp_path / "other", limits=TransferLimits(largest=0))
    with refused("more than 1 files", tmp_path / "other"):
        fetch((tmp_path / "model").as_uri(), tmp_path / "other", limits=TransferLimits(most_files=1))


def test_a_folder_that_holds_a_link_to_a_folder_is_refused(tmp_path):
    for name in ("model", "elsewhere"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_bytes(b"1")
    (tmp_path / "model/variables").symlink_to(tmp_path / "elsewhere")
    with refused(r"holds a link to a folder \(variables\); replace the link", tmp_path / "out"):
        fetch((tmp_path / "model").as_uri(), tmp_path / "out")
