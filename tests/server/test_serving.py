"""Where the token comes from, and who is told that there is none; clients that never say what they want."""

import asyncio
import socket
import sys
import threading
from contextlib import ExitStack, contextmanager, suppress

import httpx2
import psutil
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from lib.config.load import load_settings
from lib.config.schema import ServeSettings
from lib.core.errors import SettingsError
from lib.server.app import make_app
from lib.server.deadlines import stream_lines
from lib.server.request_guard import HEADERS, RequestGuard
from lib.server.server_metrics import ServerMetrics
from lib.server.serving import TOKEN_VARIABLE, Protocol, exposure, read_token
from tests.server.server_process import server_params
from tests.waiting import wait_until


def test_the_token_comes_from_its_file_or_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    assert read_token(ServeSettings()) == ""
    monkeypatch.setenv(TOKEN_VARIABLE, " of the environment\n")
    assert read_token(ServeSettings()) == "of the environment"
    file = tmp_path / "token"
    file.write_text("of the file\n")
    assert read_token(ServeSettings(token_file=str(file))) == "of the file"


@pytest.mark.parametrize(
    ("content", "fault"), [(None, "cannot be read"), ("\n", "holds no token"), ("\xff", "cannot be")]
)
def test_a_token_file_without_a_token_is_a_fault(tmp_path, content, fault):
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content.encode("latin-1"))
    with pytest.raises(SettingsError, match=fault):
        read_token(ServeSettings(token_file=str(file)))


@pytest.mark.parametrize(("host", "token", "n"), [("localhost", "", 0), ("0.0.0.0", "", 1), ("0.0.0.0", "secret", 0)])
def test_a_server_that_everyone_may_use_is_warned_of(host, token, n):
    assert len(exposure(ServeSettings(host=host), token)) == n


def test_by_default_only_this_machine_reaches_the_server(server):
    connections = psutil.Process(server.process.pid).net_connections("inet")
    assert [each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN] == ["127.0.0.1"]


def test_a_server_is_not_ready_before_its_only_model_is(served, tmp_path, monkeypatch):
    """Its trial is held up meanwhile, in an interpreter that waits."""
    waiting, goes_on = tmp_path / "python", tmp_path / "goes on"
    hold = f"""case "$*" in *checkpoint_trial*) until [ -e '{goes_on}' ]; do sleep 0.05; done;; esac"""
    waiting.write_text(f'#!/bin/sh\n{hold}\nexec {sys.executable} "$@"\n')
    waiting.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(waiting))
    settings = load_settings(server_params(tmp_path / "params.yaml", served, workers=1))
    with TestClient(make_app(settings), "http://localhost") as client:
        assert [client.get(path).status_code for path in ("/health", "/ready")] == [200, 503]
        goes_on.touch()
        wait_until(lambda: client.get("/ready").status_code == 200)


class HurriedProtocol(Protocol):
    head_seconds = 1.5
    read_seconds = 0.5
    most_connections = 2


REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def say_hello(scope, receive, send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


@contextmanager
def hurried_server(app):
    """A server in this process, which gives its clients little time, and its port."""
    config = uvicorn.Config(
        app, http=HurriedProtocol, lifespan="off", log_config=None, log_level="error", timeout_graceful_shutdown=1
    )
    listening, server = socket.create_server(("127.0.0.1", 0)), uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        yield server, listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def hurried():
    with hurried_server(say_hello) as (_, port):
        yield port


@pytest.mark.parametrize("n_before", [0, 1])
def test_a_client_that_never_says_what_it_wants_is_cut_off(hurried, n_before):
    """At first, as well as after requests."""
    with socket.create_connection(("127.0.0.1", hurried), timeout=30) as connection:
        for _ in range(n_before):
            connection.sendall(REQUEST)
            answer = b""
            while not answer.endswith(b"hello"):
                answer += (part := connection.recv(1000))
                assert part
        with suppress(ConnectionError):  # on a machine that is so slow that we are cut off by now
            connection.sendall(b"G")
            assert connection.recv(100) == b""


def test_there_are_no_more_connections_than_there_may_be(hurried):
    with ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", hurried), 30)) for _ in range(3)]
        clients[0].sendall(REQUEST)
        assert clients[0].recv(12) == b"HTTP/1.1 200"
        with suppress(ConnectionResetError):
            assert clients[2].recv(100) == b""


def guarded(answer, metrics: ServerMetrics | None = None) -> Starlette:
    """An application behind the guard of the server."""
    guard = Middleware(RequestGuard, network=ServeSettings(), token="", metrics=metrics or ServerMetrics())
    return Starlette(routes=[Route("/", answer)], middleware=[guard])


def streaming(lines) -> Starlette:
    """One whose answer is a stream of lines."""

    async def answer(request) -> StreamingResponse:
        return stream_lines(lines())

    return guarded(answer)


def test_a_client_that_does_not_read_is_cut_off():
    """Else its stream would last for ever, and count among the requests that may run at a time."""
    has_ended = threading.Event()

    async def endless():
        try:
            while True:
                yield 2**16 * "x"
                await asyncio.sleep(0)
        finally:
            has_ended.set()

    with (
        hurried_server(streaming(endless)) as (_, port),
        socket.create_connection(("127.0.0.1", port), 30) as connection,
    ):
        connection.sendall(REQUEST)
        assert has_ended.wait(30)


def test_a_stream_that_outlasts_the_server_ends_with_a_line_that_says_so(caplog):
    async def endless():
        yield "first"
        await asyncio.sleep(3600)

    with (
        hurried_server(streaming(endless)) as (server, port),
        httpx2.stream("GET", f"http://localhost:{port}/") as response,
    ):
        lines = response.iter_lines()
        assert next(lines) == '"first"'
        server.should_exit = True
        assert list(lines) == ['{"error": "the server is stopping"}']
    # uvicorn says that it gives up the stream; there is no trace of it
    assert [(record.levelname, record.exc_info) for record in caplog.records] == [("ERROR", None)]


def test_a_mistake_of_ours_is_answered_like_any_request_and_logged(caplog):
    metrics = ServerMetrics()

    async def answer(request):
        raise KeyError("a secret")

    with hurried_server(guarded(answer, metrics)) as (_, port):
        response = httpx2.get(f"http://localhost:{port}/")
    assert (response.status_code, response.json()) == (500, {"detail": "internal error"})
    assert HEADERS.items() <= dict(response.headers).items()
    assert b'status="500"} 1.0' in metrics.text(0, 0, 0)
    assert [record.exc_info[0] for record in caplog.records] == [KeyError]


def test_a_mistake_of_ours_in_a_stream_is_its_last_line(caplog):
    async def failing():
        yield "first"
        raise KeyError("a secret")

    with hurried_server(streaming(failing)) as (_, port):
        response = httpx2.get(f"http://localhost:{port}/")
    assert response.text.splitlines() == ['"first"', '{"error": "internal error"}']
    assert [record.exc_info[0] for record in caplog.records] == [KeyError]
