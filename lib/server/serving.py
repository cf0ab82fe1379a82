"""The server's process: listens, and stops without leaving anything behind."""

import asyncio
import logging
import os
import signal
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from lib.config.schema import NetworkSettings
from lib.core.errors import Problem, SettingsError
from lib.core.files import read_text

TOKEN_VARIABLE = "EARSHOT_TOKEN"
LONGEST_HEADER = 2**15
LOCAL = ("localhost", "127.0.0.1", "::1")


class Protocol(H11Protocol):
    """HTTP/1.1, whose clients get `head_seconds` to say what they want, at first and after each answer, and
    `read_seconds` to read what they are sent."""

    head_seconds = 5.0
    read_seconds = 30.0
    most_connections = 512
    _reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            transport.abort()  # each takes a file descriptor, which decoders and uploads need, too
        self._await_head()

    def on_response_complete(self) -> None:
        self._await_head()
        super().on_response_complete()

    def _await_head(self) -> None:
        """uvicorn's own timer of idle connections starts after answers only, and stops at the first byte of a head."""
        self.loop.call_later(self.head_seconds, self._close_if_still, self.cycle)

    def _close_if_still(self, cycle: RequestResponseCycle | None) -> None:
        """Close the connection if no request came after that one."""
        if self.cycle is cycle:
            self.transport.close()
            self.loop.call_later(self.read_seconds, self.transport.abort)

    def pause_writing(self) -> None:
        """Cut the client off unless it reads what waits for it: else its request would last for ever."""
        super().pause_writing()
        self._reading = self.loop.call_later(self.read_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._reading is not None:
            self._reading.cancel()


class Server(uvicorn.Server):
    """Says where it is, once it answers; raises start-up errors, which uvicorn would print as a traceback."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app, self._running = app, AsyncExitStack()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self._running.enter_async_context(self._app.router.lifespan_context(self._app))
        await super().startup(sockets)
        if self.started and sockets:
            host = self.config.host
            print(f"http://{f'[{host}]' if ':' in host else host}:{sockets[0].getsockname()[1]}", flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        if not self.force_exit:
            await self._running.aclose()


def read_token(network: NetworkSettings, section: str = "serve") -> str:
    """The token that requests must carry; "" if they need none. section: of the settings.

    Raises SettingsError if its file cannot be used.
    """
    if network.token_file is None:
        return os.environ.get(TOKEN_VARIABLE, "").strip()
    setting = f"{section}.token_file = {network.token_file!r}"
    try:
        token = read_text(Path(network.token_file)).strip()
    except (OSError, UnicodeDecodeError):
        raise SettingsError(setting, "cannot be read", "give a text file with the token") from None
    if not token:
        raise SettingsError(setting, "holds no token", "write one into it")
    return token


def exposure(network: NetworkSettings, token: str, section: str = "serve") -> list[Problem]:
    """A Problem if everyone who reaches the machine may use the server. section: of the settings."""
    if token or network.host in LOCAL:
        return []
    remedy = f"set {section}.token_file or {TOKEN_VARIABLE}"
    return [Problem(f"{section}.host = {network.host!r}", "the server asks for no token", remedy, lost=False)]


def serve_until_stopped(app: FastAPI, network: NetworkSettings, section: str = "serve") -> None:
    """Answer requests until SIGTERM or SIGINT comes; then let those finish that do so within shutdown_timeout.

    Args:
        app: what answers.
        network: where.
        section: of the settings.

    Raises SettingsError if it cannot listen there, and what the application's start-up raises.
    """
    config = uvicorn.Config(
        app,
        network.host,
        network.port,
        http=Protocol,
        lifespan="off",
        ws="none",
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=LONGEST_HEADER,
        timeout_graceful_shutdown=network.shutdown_timeout,
    )
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn raises them again once it is done, and that is no fault
        signal.signal(number, _nothing)
    Server(config, app).run(sockets=[_listen(network, section)])


def _listen(network: NetworkSettings, section: str) -> socket.socket:
    """A socket that clients can connect to. Raises SettingsError."""
    family = socket.AF_INET6 if ":" in network.host else socket.AF_INET
    try:
        return socket.create_server((network.host, network.port), family=family)
    except OSError as error:
        where = f"{section}.host = {network.host!r}, {section}.port = {network.port}"
        reason = (error.strerror or str(error)).partition(" (while")[0]
        fault = f"cannot listen there ({reason})"
        raise SettingsError(where, fault, "choose another, or stop what has the port") from None


def _nothing(*_: Any) -> None:
    pass
