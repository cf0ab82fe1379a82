"""Limits of requests, and who may ask; by raw sockets where clients behave as no library does."""

import json
import select
import socket
import threading
from contextlib import ExitStack

import pytest

from tests.server.conftest import LIMITS
from tests.server.server_process import ServerProcess
from tests.waiting import wait_until

PREDICT = "/model/predict-files?model_ckpt_path=model.pt"
MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}
PART = b'--b\r\nContent-Disposition: form-data; name="audio_files"; filename="a.wav"\r\n\r\n'


def open_request(server: ServerProcess, headers: dict[str, str], body: bytes = b"", path: str = PREDICT):
    """A connection on which the head of a request is sent, and the start of its body."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    lines = [f"POST {path} HTTP/1.1", f"Host: localhost:{server.port}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
    return connection


def answer(connection: socket.socket) -> tuple[int, dict[str, str], dict]:
    """Status, headers and content of an answer, until the server closes or has sent all."""
    text = b""
    while b"\r\n\r\n" not in text and (part := connection.recv(65536)):
        text += part
    head, _, body = text.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    while len(body) < int(headers.get("content-length", 0)) and (part := connection.recv(65536)):
        body += part
    return int(first.split()[1]), headers, json.loads(body)


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


def test_an_upload_of_10_gb_is_refused_before_it_is_sent(server):
    with open_request(server, MULTIPART | {"Content-Length": str(10 * 2**30)}) as connection:
        status, headers, content = answer(connection)
    assert (status, headers["connection"]) == (413, "close")
    assert content == {"detail": "the request is larger than 2 MB"}


@pytest.mark.parametrize("length", ["-1", "1e3", "99999999999999999999999999", "1, 2", "ten"])
def test_a_length_that_is_none_is_refused(server, length):
    with open_request(server, MULTIPART | {"Content-Length": length}) as connection:
        assert connection.recv(65536).split()[1] in (b"400", b"413")


def test_an_upload_without_length_is_cut_off_at_the_limit(server):
    with open_request(server, MULTIPART | {"Transfer-Encoding": "chunked"}, chunk(PART)) as connection:

        def send() -> None:
            for _ in range(64):
                try:
                    connection.sendall(chunk(bytes(2**16)))
                except OSError:
                    return

        sender = threading.Thread(target=send)
        sender.start()
        status, headers, content = answer(connection)
        sender.join()
    assert (status, headers["connection"]) == (413, "close")
    assert content == {"detail": "the request is larger than 2 MB"}


def test_an_upload_without_length_below_the_limit_is_taken(server, served):
    sound = (served / "data/set/recordings/r00.wav").read_bytes()
    body = b"".join(map(chunk, (PART, sound, b"\r\n--b--\r\n", b"")))
    with open_request(server, MULTIPART | {"Transfer-Encoding": "chunked"}, body) as connection:
        status, _, content = answer(connection)
    assert status == 200
    assert [list(each) for each in content] == [["HIGH", "LOW", "MID"]]


def test_an_upload_of_10000_parts_is_refused(server):
    body = b"".join(PART + b"RIFF\r\n" for _ in range(10_000)) + b"--b--\r\n"
    response = server.client.post(PREDICT, content=body, headers=MULTIPART)
    assert response.status_code == 413
    assert response.json() == {"detail": f"at most {LIMITS['max_files']} files are taken, and no other fields"}


def test_slow_clients_do_not_keep_others_out_for_ever(server, served):
    """As many as are served at a time send a byte a second: others get 429 until these are cut off."""
    file = served / "data/set/recordings/r00.wav"
    with ExitStack() as stack:
        slow = [
            stack.enter_context(open_request(server, MULTIPART | {"Content-Length": "100000"}, PART))
            for _ in range(LIMITS["max_requests"])
        ]
        wait_until(lambda: server.n_running() == len(slow), LIMITS["upload_timeout"])
        response = server.predict(file)
        assert (response.status_code, response.headers["retry-after"]) == (429, "2")
        assert response.json() == {"detail": "too many requests at a time; try again"}
        assert server.client.get("/models").status_code == 200
        waiting = slow
        while waiting:
            answered, _, _ = select.select(waiting, [], [], 1)
            waiting = [connection for connection in waiting if connection not in answered]
            for connection in waiting:
                connection.sendall(b"R")
        answers = [answer(connection) for connection in slow]
    assert {status for status, _, _ in answers} == {408}
    assert answers[0][2] == {"detail": "the request did not arrive within 5 s"}
    assert server.predict(file).status_code == 200


def test_a_client_that_goes_away_in_the_midst_of_its_upload_is_no_fault(server):
    with open_request(server, MULTIPART | {"Content-Length": "100000"}, PART):
        wait_until(lambda: server.n_running() == 1)
    wait_until(lambda: server.n_running() == 0)
    assert server.metric('earshot_requests_total{route="/model/predict-files",status="499"}') >= 1


def test_a_body_of_json_is_small(server):
    body = json.dumps([200 * "x" for _ in range(1000)])
    response = server.post("/model/predict-directory", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 413


def test_a_head_without_end_is_refused(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX-Long: " + 2**18 * b"x")
        assert connection.recv(100).split()[1] == b"400"


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8090", "", "[::1"])
def test_a_foreign_host_is_refused(server, host):
    response = server.client.get("/models", headers={"Host": host})
    assert response.status_code in (400, 421)
    assert "model.pt" not in response.text


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:8090"])
def test_a_name_of_this_machine_is_taken(server, host):
    assert server.client.get("/models", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:1", "http://localhost.evil.example"]
)
def test_a_foreign_origin_is_refused(server, served, origin):
    response = server.predict(served / "data/set/recordings/r00.wav", headers={"Origin": origin})
    assert response.status_code == 403
    assert "access-control-allow-origin" not in response.headers


def test_the_page_s_own_origin_is_taken(server, served):
    response = server.predict(served / "data/set/recordings/r00.wav", headers={"Origin": server.url})
    assert response.status_code == 200


def test_answers_forbid_what_browsers_might_do_with_them(server):
    for response in (server.client.get("/models"), server.client.get("/nowhere"), server.client.post("/models")):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert "server" not in response.headers
