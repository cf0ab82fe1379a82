"""The internet, as far as tests need one: names of hosts lead to public addresses, at which a server here answers."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from lib.core.public_addresses import is_public


class Internet:
    """What hosts' names lead to, and which addresses were connected to.

    Args:
        monkeypatch: of the test.
        server_address: IP address and port of the server that answers for all public addresses.
    """

    def __init__(self, monkeypatch, server_address: tuple[str, int]) -> None:
        self.names: dict[str, list[str]] = {}
        """Addresses by name; where there are several, each question takes one away."""
        self.connected: list[str] = []
        resolve, connect = socket.getaddrinfo, socket.socket.connect

        def addresses_of(host, port, *arguments, **options):
            if host not in self.names:
                return resolve(host, port, *arguments, **options)
            addresses = self.names[host]
            address = addresses.pop(0) if len(addresses) > 1 else addresses[0]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

        def connect_to(connection, address):
            self.connected.append(address[0])
            connect(connection, server_address if is_public(address[0]) else address)

        monkeypatch.setattr(socket, "getaddrinfo", addresses_of)
        monkeypatch.setattr(socket.socket, "connect", connect_to)


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextmanager
def serving(folder: Path, monkeypatch) -> Iterator[str]:
    """The address of a site of a folder's files on the internet, behind which is a real server on loopback."""
    with _server(folder) as server:
        Internet(monkeypatch, server.server_address).names["frogs.example"] = ["93.184.216.34"]
        yield "http://frogs.example"


@contextmanager
def serving_here(folder: Path, handler: type[SimpleHTTPRequestHandler] = QuietHandler) -> Iterator[str]:
    """The address of a real server of a folder's files on loopback."""
    with _server(folder, handler) as server:
        yield f"http://127.0.0.1:{server.server_address[1]}"


@contextmanager
def _server(folder: Path, handler: type[SimpleHTTPRequestHandler] = QuietHandler) -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()
