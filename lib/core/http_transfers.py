"""Fetch files over http(s) from untrusted hosts.

A host name is resolved once, all its addresses are checked, and the connection goes to a checked address; the same
holds for each redirect. Certificates are still verified against the host name.

An interrupted transfer resumes if the server supports it and the file has not changed; otherwise it restarts. The next
call resumes the transfer of a killed process.
"""

import http.client
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from urllib3 import BaseHTTPResponse, HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationParseError,
    NewConnectionError,
    ProtocolError,
    SSLError,
    TimeoutError,
)
from urllib3.util import Url, parse_url

from lib.core.errors import EarshotError
from lib.core.files import read_text, write_text
from lib.core.public_addresses import addresses_of, is_public
from lib.core.urls import shown_url, split_url, url_without_query

LARGEST = 32 * 2**30
"""Bytes of a file or folder, at most."""
MOST_FILES = 10_000
"""Files of a folder, at most."""
WAIT_SECONDS = 30.0
"""How long a server may be silent."""
LONGEST_SECONDS = 6 * 3600.0
"""How long a whole transfer may take."""
ATTEMPTS = 4
"""How often a transfer is started before giving up."""
PAUSE_SECONDS = 0.5
"""Pause before the second attempt; it grows with each attempt."""
REDIRECTS = 5
AT_ONCE = 2**20
"""Bytes read at a time."""


@dataclass(frozen=True)
class TransferLimits:
    """Limits of a transfer: see LARGEST, MOST_FILES, WAIT_SECONDS and LONGEST_SECONDS."""

    largest: int = LARGEST
    most_files: int = MOST_FILES
    wait_seconds: float = WAIT_SECONDS
    longest_seconds: float = LONGEST_SECONDS

    def check_size(self, url: str, n: int) -> None:
        """Raise EarshotError if n bytes exceed the limit."""
        if n > self.largest:
            fault = f"is larger than {self.largest / 1e9:.3g} GB"
            raise EarshotError(shown_url(url), fault, "download it another way and give its path")

    def check_files(self, url: str, n: int) -> None:
        """Raise EarshotError if n files exceed the limit."""
        if n > self.most_files:
            fault = f"holds more than {self.most_files:,} files"
            raise EarshotError(shown_url(url), fault, "give the folder of one model, or an archive of it")


USUAL_LIMITS = TransferLimits()


class _BrokenOff(Exception):
    """A transfer ended early; the bytes received so far are kept."""


def transfer(url: str, part: Path, state: Path, allow_private: bool, limits: TransferLimits) -> None:
    """Fetch a file over http(s), in several attempts if the connection fails.

    Args:
        url: of the file.
        part: the target; a partial file that an earlier call left there is continued.
        state: a file that records the URL and the version that the partial file belongs to.
        allow_private: whether the URL may lead to a private address (see lib.core.public_addresses), and redirect from
            there to another. Redirects from the internet to a private address are always refused.
        limits: of size and time.

    Raises EarshotError if the URL may not or cannot be fetched; a partial file is kept if it can be continued.
    """
    if state.exists() and not state.read_text(encoding="utf-8").startswith(f"{url_without_query(url)}\n"):
        part.unlink(missing_ok=True)  # it belongs to another URL
    deadline = time.monotonic() + limits.longest_seconds
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _transfer_rest(url, part, state, allow_private, limits, deadline)
        except _BrokenOff as error:
            if attempt == ATTEMPTS or time.monotonic() > deadline:
                remedy = "check the network and try again: the transfer will resume"
                raise EarshotError(shown_url(url), f"cannot be fetched ({error})", remedy) from None
            time.sleep(PAUSE_SECONDS * attempt)


def _transfer_rest(
    url: str, part: Path, state: Path, allow_private: bool, limits: TransferLimits, deadline: float
) -> None:
    """Fetch the missing rest of a file. Raises EarshotError, or _BrokenOff."""
    before, validator = _state_of(part, state)
    headers = {"Range": f"bytes={before}-", "If-Range": validator} if before else {}
    with _answer(url, headers, allow_private, limits.wait_seconds) as answer:
        if answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and before:
            part.unlink()
            raise _BrokenOff("the file on the server has become shorter")
        if answer.status == HTTPStatus.OK:
            before = 0
        elif answer.status != HTTPStatus.PARTIAL_CONTENT or not _begins_at(answer, before):
            raise _refused(url, answer)
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise EarshotError(shown_url(url), "is sent compressed, which was not asked for", "download it another way")
        limits.check_size(url, before + int(answer.length_remaining or 0))
        if not before:
            part.unlink(missing_ok=True)
            write_text(state, f"{url_without_query(url)}\n{_validator(answer)}\n")
        with part.open("ab") as file:
            while content := _read(answer, deadline):
                before += len(content)
                if before > limits.largest:
                    part.unlink()
                    limits.check_size(url, before)
                file.write(content)


def _read(answer: BaseHTTPResponse, deadline: float) -> bytes:
    if time.monotonic() > deadline:
        raise _BrokenOff("the transfer takes too long")
    return answer.read1(AT_ONCE)


def _state_of(part: Path, state: Path) -> tuple[int, str]:
    """Bytes received so far, and the validator of the file that they belong to; 0 if the transfer cannot resume."""
    try:
        validator = read_text(state).splitlines()[1]
        return (part.stat().st_size, validator) if validator else (0, "")
    except (OSError, IndexError, UnicodeDecodeError):
        return 0, ""


def _validator(answer: BaseHTTPResponse) -> str:
    """The strong entity tag or the date that identifies the server's version of a file; "" if it sends neither."""
    tag = answer.headers.get("ETag", "")
    return answer.headers.get("Last-Modified", "") if not tag or tag.startswith("W/") else tag


def _begins_at(answer: BaseHTTPResponse, first: int) -> bool:
    return first > 0 and answer.headers.get("Content-Range", "").startswith(f"bytes {first}-")


def _refused(url: str, answer: BaseHTTPResponse) -> EarshotError:
    return EarshotError(shown_url(url), f"the server answers {answer.status} {answer.reason}", "check the URL")


@contextmanager
def _answer(url: str, headers: Mapping[str, str], allow_private: bool, wait: float) -> Iterator[BaseHTTPResponse]:
    """The response to a request, after all redirects.

    Raises EarshotError if a redirect is not allowed, and _BrokenOff if the connection fails, also inside the block.
    """
    asked = url
    for _ in range(REDIRECTS + 1):
        parts = split_url(asked)
        if parts.scheme not in ("http", "https"):
            raise EarshotError(shown_url(url), f"is redirected to {parts.scheme}://", "check its source")
        try:
            answer, address = _response(asked, headers, allow_private, wait)
            with closing(answer):
                place = answer.get_redirect_location()
                if place is False:
                    yield answer
                    return
        except HTTPError as error:
            raise _failure(asked, error) from None
        if not place:
            raise _refused(asked, answer)
        following = urljoin(asked, place)
        if parts.scheme == "https" and urlsplit(following).scheme == "http":
            raise EarshotError(shown_url(url), "is redirected from https to http", "check its source")
        asked, allow_private = following, allow_private and not is_public(address)
    raise EarshotError(shown_url(url), f"is redirected more than {REDIRECTS} times", "check the URL")


def _response(url: str, headers: Mapping[str, str], allow_private: bool, wait: float) -> tuple[BaseHTTPResponse, str]:
    """The response of the first address of a URL's host that accepts a connection, and that address."""
    try:
        parsed = parse_url(url)
    except LocationParseError:
        raise EarshotError(shown_url(url), "is not a URL", "check it") from None
    host = str(parsed.host).strip("[]")
    *others, last = addresses_of(url, host, parsed.port or http.client.HTTP_PORT, allow_private)
    for address in others:
        try:
            return _request(parsed, address, headers, wait), address
        except ConnectTimeoutError:  # also raised for a refused connection
            continue
    return _request(parsed, last, headers, wait), last


def _request(parsed: Url, address: str, headers: Mapping[str, str], wait: float) -> BaseHTTPResponse:
    """Request a URL from one of its host's addresses."""
    host = str(parsed.host)
    if parsed.scheme == "https":
        # connect to the address, but send the host's name and verify the certificate against it
        pool: HTTPConnectionPool = HTTPSConnectionPool(
            address, parsed.port, ssl_context=ssl.create_default_context(), server_hostname=host.strip("[]")
        )
    else:
        pool = HTTPConnectionPool(address, parsed.port)
    fields = {"Host": str(parsed.netloc), "User-Agent": "earshot", "Accept-Encoding": "identity", **headers}
    return pool.urlopen(
        "GET",
        parsed.request_uri,
        headers=fields,
        retries=False,
        redirect=False,
        timeout=wait,
        preload_content=False,
        decode_content=False,
    )


def _failure(url: str, error: HTTPError) -> Exception:
    """What a failed connection means: _BrokenOff if another attempt may help, else an EarshotError."""
    cause = error.args[-1] if error.args else None  # of the libraries below urllib3
    if isinstance(error, NewConnectionError):
        return _BrokenOff(getattr(error.__cause__, "strerror", None) or "the connection failed")
    if isinstance(error, TimeoutError):
        return _BrokenOff("it timed out")
    if isinstance(error, SSLError) and not isinstance(cause, ssl.SSLEOFError):
        reason = getattr(cause, "verify_message", None) or getattr(cause, "reason", None) or type(cause).__name__
        fault = f"cannot be reached securely ({reason})"
        return EarshotError(shown_url(url), fault, "check the URL and the certificate of its host")
    if isinstance(error, ProtocolError | SSLError) and _is_end(cause):
        return _BrokenOff("the connection was closed early")
    fault = f"the server's response is invalid ({type(cause or error).__name__})"
    return EarshotError(shown_url(url), fault, "check the URL")


def _is_end(cause: object) -> bool:
    """Whether a connection was closed early, rather than the response being invalid."""
    return isinstance(cause, OSError | http.client.IncompleteRead | http.client.RemoteDisconnected)
