import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lib.core import http_transfers
from lib.core.downloads import fetch
from lib.core.errors import EarshotError
from tests.internet import Internet

CONTENT = b"tensors"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append((self.path, self.headers["Host"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    """A real HTTP server on loopback, and its requests: path and host."""
    monkeypatch.setattr(http_transfers, "PAUSE_SECONDS", 0.0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def internet(server, tmp_path, monkeypatch):
    """frogs.example and toads.example, both at the server, which speaks TLS with a certificate for the first."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "frogs.example")])
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("frogs.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (tmp_path / "key.pem").write_bytes(key.private_bytes(*plain))
    (tmp_path / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    context.sni_callback = lambda _, host, __: server.requests.append(("TLS", host))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    internet = Internet(monkeypatch, server.server_address)
    internet.names |= {"frogs.example": ["93.184.216.34"], "toads.example": ["93.184.216.35"]}
    return internet


def test_a_certificate_is_verified_against_the_host_name_not_the_address(server, internet, tmp_path):
    assert fetch("https://frogs.example/m.pt", tmp_path / "new").read_bytes() == CONTENT
    assert internet.connected == ["93.184.216.34"]
    assert server.requests == [("TLS", "frogs.example"), ("/m.pt", "frogs.example")]
    with pytest.raises(EarshotError, match=r"toads.example/m.pt: cannot be reached securely \(Hostname mismatch"):
        fetch("https://toads.example/m.pt", tmp_path / "new")
    assert server.requests[2:] == [("TLS", "toads.example")]


def test_an_untrusted_certificate_is_refused(internet, tmp_path, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(EarshotError, match=r"cannot be reached securely \(self-signed certificate\); check the URL"):
        fetch("https://frogs.example/m.pt", tmp_path / "new")


def test_the_next_address_of_a_host_is_tried_if_one_does_not_answer(server, tmp_path, monkeypatch):
    port, resolve = server.server_address[1], socket.getaddrinfo

    def addresses_of(host, *arguments, **options):
        hosts = ["127.0.0.2", "127.0.0.1"] if host == "frogs.example" else [host]
        return [address for each in hosts for address in resolve(each, *arguments, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", addresses_of)
    assert fetch(f"http://frogs.example:{port}/m.pt", tmp_path, allow_private=True).read_bytes() == CONTENT
    assert server.requests == [("/m.pt", f"frogs.example:{port}")]


def test_characters_that_are_invalid_in_a_request_are_escaped(server, tmp_path):
    url = f"http://127.0.0.1:{server.server_address[1]}/tree frogs é.pt?a=b c"
    assert fetch(url, tmp_path, allow_private=True).name == "tree frogs é.pt"
    assert server.requests[0][0] == "/tree%20frogs%20%C3%A9.pt?a=b%20c"


@pytest.mark.parametrize("answer", [b"no HTTP\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n"])
def test_an_invalid_response_is_one_clear_line(tmp_path, answer):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def say() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(answer)

        thread = threading.Thread(target=say)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/m.pt"
        with pytest.raises(EarshotError, match=r"m\.pt: the server's response is invalid \(\w+\); check the URL"):
            fetch(url, tmp_path, allow_private=True)
        thread.join()
