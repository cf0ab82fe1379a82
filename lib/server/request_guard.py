"""What every request passes before it is answered: names, token, limits; and the headers of every answer."""

import asyncio
import hmac
import json
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from lib.config.schema import NetworkSettings
from lib.server.server_metrics import ServerMetrics

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

UPLOADS = ("/model/predict-files", "/model/analyze-file")
"""Paths of requests that carry recordings; the body of any other is JSON."""
JSON_BYTES = 2**16
"""Of a body of JSON, at most."""
OPEN = ("/", "/docs", "/openapi.json", "/health", "/ready")
"""Paths that need no token, besides those below OPEN_BELOW: they tell nothing of models and recordings."""
OPEN_BELOW = "/static/"
WORK = {"POST": "/model/", "GET": "/media/"}
"""What the paths begin with of requests that take more than a moment, by method; there is a limit on them."""
RETRY_SECONDS = 2
LINGER_SECONDS, LINGER_BYTES, PAUSE_SECONDS = 2.0, 2**24, 0.2
"""How much more of a request is read after it is refused, unless the client pauses: if the connection were closed at
once, a client that is still sending would often see that instead of the answer."""
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
LINES = "application/x-ndjson"
LOG = logging.getLogger("uvicorn.error")


class RequestGuard:
    """ASGI middleware.

    Args:
        app: what answers.
        network: settings.
        token: that requests must carry; "": none.
        metrics: that requests are counted in.
        upload_bytes: of a request that carries recordings, at most.
        json_bytes: of any other, at most.
    """

    def __init__(
        self,
        app: Any,
        network: NetworkSettings,
        token: str,
        metrics: ServerMetrics,
        upload_bytes: int = 0,
        json_bytes: int = JSON_BYTES,
    ) -> None:
        self._app, self._network, self._token, self._metrics = app, network, token.encode(), metrics
        self._upload_bytes, self._json_bytes = upload_bytes, json_bytes
        names = {network.host, "localhost", "127.0.0.1", "::1", *network.allowed_hosts} - {"0.0.0.0", "::"}
        self._hosts = {name.lower() for name in names}

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin, headers = time.monotonic(), Headers(scope=scope)
        exchange = _Exchange(
            scope, headers, receive, send, self._most_bytes(scope["path"]), self._network.upload_timeout
        )
        is_work = scope["path"].startswith(WORK[scope["method"]]) if scope["method"] in WORK else False
        refusal = self._refusal(scope["path"], headers) or exchange.refusal()
        if refusal is None and is_work and self._metrics.n_running >= self._network.max_requests:
            refusal = HTTPException(429, "too many requests at a time; try again", {"retry-after": str(RETRY_SECONDS)})
        try:
            if refusal is not None:
                await exchange.refuse(refusal)
                await exchange.close()
                return
            self._metrics.n_running += is_work
            try:
                await self._app(scope, exchange.receive, exchange.send)
            except ClientDisconnect:
                pass
            except (asyncio.CancelledError, Exception) as error:
                if exchange.has_begun and not exchange.is_of_lines:
                    raise
                if isinstance(error, asyncio.CancelledError):
                    fault = HTTPException(503, "the server is stopping")
                else:
                    LOG.exception("a request failed")
                    fault = HTTPException(500, "internal error")
                if exchange.is_of_lines:
                    await exchange.end_with_line(fault.detail)
                else:
                    await exchange.refuse(fault)
            finally:
                self._metrics.n_running -= is_work
            await exchange.close()
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.note_request(route, exchange.status, time.monotonic() - begin)

    def _most_bytes(self, path: str) -> int:
        return self._upload_bytes if path in UPLOADS else self._json_bytes

    def _refusal(self, path: str, headers: Headers) -> HTTPException | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._is_ours(host):
            # Else a page of a stranger, whose name is made to mean this machine, could read what is answered.
            return HTTPException(421, "this server is not called by that name; see serve.allowed_hosts")
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            return HTTPException(403, "requests from pages of other servers are refused")
        if self._token and path not in OPEN and not path.startswith(OPEN_BELOW):
            kind, _, token = headers.get("authorization", "").partition(" ")
            if kind.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), self._token):
                return HTTPException(401, "a bearer token is needed", {"www-authenticate": "Bearer"})
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        return "*" in self._hosts or (name is not None and name.lower() in self._hosts)


class _Exchange:
    """A request, whose body is limited in size and time, and its answer, which gets HEADERS."""

    def __init__(
        self,
        scope: MutableMapping[str, Any],
        headers: Headers,
        receive: Receive,
        send: Send,
        most: int,
        seconds: float,
    ) -> None:
        self._scope, self._receive, self._send, self._most, self._seconds = scope, receive, send, most, seconds
        self._length = headers.get("content-length", "")
        self._is_read = not self._length.strip("0") and "transfer-encoding" not in headers
        self._n, self._end, self._is_open = 0, 0.0, False
        self.status = 499
        """Of the answer; 499 if there was none, since the client went away."""
        self.is_of_lines = False
        """Whether the answer is a stream of lines, which may end at any of them."""

    @property
    def has_begun(self) -> bool:
        """Whether a part of the answer is sent."""
        return self.status != 499

    def refusal(self) -> HTTPException | None:
        is_too_large = self._length.isdigit() and int(self._length[:20]) > self._most
        return self._too_large() if is_too_large else None

    def _too_large(self) -> HTTPException:
        return HTTPException(413, f"the request is larger than {self._most / 1e6:g} MB")

    async def receive(self) -> Message:
        """The next part of the body. Raises HTTPException if it is too large or too slow."""
        if self._is_read:
            return await self._receive()
        now = time.monotonic()
        self._end = self._end or now + self._seconds
        try:
            async with asyncio.timeout(max(self._end - now, 0.001)):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, f"the request did not arrive within {self._seconds:g} s") from None
        self._note(message)
        if self._n > self._most:
            raise self._too_large()
        return message

    def _note(self, message: Message) -> None:
        self._n += len(message.get("body", b""))
        self._is_read = message["type"] != "http.request" or not message.get("more_body", False)

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            names = {name.lower() for name, _ in message["headers"]}
            self.is_of_lines = (b"content-type", LINES.encode()) in message["headers"]
            added = [(name.encode(), value.encode()) for name, value in HEADERS.items() if name.encode() not in names]
            close = [] if self._is_read else [(b"connection", b"close")]
            message = {**message, "headers": [*message["headers"], *added, *close]}
        elif not self._is_read and not message.get("more_body", False):
            self._is_open = True
            message = {**message, "more_body": True}
        await self._send(message)

    async def close(self) -> None:
        """End an answer that came before the whole request had; the client has it by then, if it reads."""
        if self._is_open:
            await self._linger()
            await self._send({"type": "http.response.body", "body": b""})

    async def _linger(self) -> None:
        end, most = time.monotonic() + LINGER_SECONDS, self._n + LINGER_BYTES
        while not self._is_read and self._n < most and (left := end - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(min(left, PAUSE_SECONDS)):
                    self._note(await self._receive())
            except TimeoutError:
                return

    async def end_with_line(self, fault: str) -> None:
        """End a stream of lines that has begun with one that says why."""
        await self.send({"type": "http.response.body", "body": json.dumps({"error": fault}).encode() + b"\n"})

    async def refuse(self, refusal: HTTPException) -> None:
        body = json.dumps({"detail": refusal.detail}).encode()
        values = {"content-type": "application/json", "content-length": str(len(body)), **(refusal.headers or {})}
        headers = [(name.encode(), value.encode()) for name, value in values.items()]
        await self.send({"type": "http.response.start", "status": refusal.status_code, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})
