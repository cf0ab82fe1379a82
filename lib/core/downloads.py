"""Files fetched from URLs that others may have written: http(s), file:// and s3://.

A server that fetches what it is told to must not be led to its own network: to a router's page, a database, or the
service of a cloud that hands out credentials. So a host's name is resolved once, each address that it has is checked,
and the connection is made to the address that was checked, again for each redirect.

A transfer that breaks off is resumed where the server can do so and the file is still the same, else restarted; the
next call resumes a killed one.
"""

import hashlib
import http.client
import ipaddress
import os
import re
import shutil
import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urljoin, urlsplit
from urllib.request import url2pathname

from filelock import FileLock

from lib.core.errors import EarshotError
from lib.core.files import atomic, fitting_name, new_folder, open_regular, printable, read_text, write_text

LARGEST = 32 * 2**30
"""Bytes of a file, at most."""
WAIT_SECONDS = 30.0
"""How long a server may say nothing."""
LONGEST_SECONDS = 6 * 3600.0
"""How long a transfer may take altogether."""
ATTEMPTS = 4
"""How often a transfer that breaks off is begun."""
PAUSE_SECONDS = 0.5
"""Before a transfer is begun again; it grows with each attempt."""
REDIRECTS = 5
AT_ONCE = 2**20
"""Bytes that are read at a time."""
BROKEN_OFF = (
    TimeoutError,
    ConnectionError,
    http.client.IncompleteRead,
    http.client.RemoteDisconnected,
    ssl.SSLEOFError,
)
"""After which a transfer is begun again."""
MOVED = {
    HTTPStatus.MOVED_PERMANENTLY,
    HTTPStatus.FOUND,
    HTTPStatus.SEE_OTHER,
    HTTPStatus.TEMPORARY_REDIRECT,
    HTTPStatus.PERMANENT_REDIRECT,
}
NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""IPv6 addresses that stand for IPv4 addresses, the last 32 bits."""


@dataclass(frozen=True)
class TransferLimits:
    """See LARGEST, WAIT_SECONDS and LONGEST_SECONDS."""

    largest: int = LARGEST
    wait_seconds: float = WAIT_SECONDS
    longest_seconds: float = LONGEST_SECONDS


def fetch(
    url: str,
    folder: str | Path,
    sha256: str | None = None,
    allow_private: bool = False,
    file_roots: Sequence[str | Path] | None = None,
    limits: TransferLimits = TransferLimits(),
) -> Path:
    """Fetch a file to a folder, or a folder of a file:// or s3:// URL into it; returns where it is.

    Args:
        url: its last part becomes the name of the file.
        folder: made if it is missing.
        sha256: hex digits of the file's digest; None: any file will do.
        allow_private: whether the URL, or a redirect, may lead to addresses that are not public.
        file_roots: folders in which a file:// URL must lie; None: anywhere.
        limits: of size and time.

    Raises EarshotError if the URL must not be fetched, or cannot be; nothing counts as fetched then.
    """
    parts = _split(url)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if parts.scheme == "file":
        target = _copy(_local_file(url, parts, file_roots), folder / _name(parts), limits.largest, url)
    elif parts.scheme == "s3":
        target = _fetch_from_s3(url, folder, limits.largest)
    else:
        return _fetch_over_http(url, folder, _Rules(sha256, allow_private, limits))
    try:
        if sha256 is not None:
            _check_sha256(url, target, sha256)
    except BaseException:
        _remove(target)
        raise
    return target


def is_url(text: str) -> bool:
    """Whether a text is a URL that fetch knows, not a path.

    >>> is_url("https://example.org/frogs.pt"), is_url("data/frogs.pt")
    (True, False)
    """
    return re.match(r"(https?|file|s3)://", text) is not None


def sha256_of(path: str | Path) -> str:
    """SHA-256 digest of a file's bytes, 64 hex digits."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _split(url: str) -> SplitResult:
    """The parts of a URL. Raises EarshotError if it is none that can be fetched."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  which raises ValueError if it is no number
    except ValueError as error:
        raise EarshotError(_shown(url), f"is no URL ({error})", "check it") from None
    if parts.scheme not in ("http", "https", "file", "s3") or printable(url) != url:
        raise EarshotError(_shown(url), "is no URL that can be fetched", "give an http(s)://, file:// or s3:// URL")
    if parts.username is not None or parts.password is not None:
        fault = "holds a user's name, or a password"
        raise EarshotError(_shown(url), fault, "fetch the file by other means, and give its path")
    if parts.scheme != "file" and not parts.hostname:
        raise EarshotError(_shown(url), "names no host", "check it")
    return parts


def _shown(url: str) -> str:
    """A URL for an error: without a user's name and password, and without its query, which may hold a token."""
    return re.sub(r"//[^/@]*@", "//", url.partition("?")[0])


def _name(parts: SplitResult) -> str:
    """The name of the file that a URL means."""
    name = unquote(parts.path.rstrip("/").rpartition("/")[2])
    name = re.sub(r"[/\\]", "_", printable(name)).lstrip(".") or "download"
    return fitting_name(name, "", more=80)


def _check_sha256(url: str, path: Path, sha256: str) -> None:
    if path.is_dir():
        raise EarshotError(_shown(url), "is a folder, which has no SHA-256 digest", "leave it out")
    if (digest := sha256_of(path)) != sha256.lower():
        fault = f"its SHA-256 digest is {digest}, not {sha256}"
        raise EarshotError(_shown(url), fault, "it is another file, or a damaged one; check where it is from")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


# file://


def _local_file(url: str, parts: SplitResult, roots: Sequence[str | Path] | None) -> Path:
    """What a file:// URL means. Raises EarshotError if it is missing, or lies outside of the roots."""
    if parts.netloc not in ("", "localhost"):
        raise EarshotError(url, f"is on another machine ({parts.netloc})", "write file:///PATH")
    path = Path(url2pathname(parts.path))
    if not path.is_absolute():
        raise EarshotError(url, "has no absolute path", "write file:///PATH")
    real = path.resolve()  # without links, which might lead out of the roots
    if roots is not None:
        allowed = [Path(root).resolve() for root in roots]
        _check_root(url, real, allowed)
        for inner in real.rglob("*") if real.is_dir() else ():
            _check_root(url, inner.resolve(), allowed)
    if not real.exists():
        raise EarshotError(url, "no such file or folder", "check the path")
    return real


def _check_root(url: str, path: Path, roots: Iterable[Path]) -> None:
    if not any(path.is_relative_to(root) for root in roots):
        raise EarshotError(url, "lies outside of the folders that are allowed", "copy it to one of them")


def _copy(source: Path, target: Path, largest: int, url: str) -> Path:
    """Copy a file or folder; what a link to a file leads to is copied, too."""
    files = [source] if source.is_file() else _files_in(source, url)
    _check_size(url, sum(file.stat().st_size for file in files), largest)
    try:
        if source.is_dir():
            with new_folder(target) as part:
                for file in files:
                    place = part / file.relative_to(source)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    _copy_file(file, place)
        else:
            with atomic(target) as part:
                _copy_file(source, part)
    except OSError as error:
        raise EarshotError(url, f"cannot be copied ({error.strerror})", "check the file, and free room") from None
    return target


def _files_in(folder: Path, url: str) -> list[Path]:
    """Files of a folder and its folders. Raises EarshotError if one of these is a link: it may lead in a circle."""
    paths = sorted(folder.rglob("*"))  # which follows no links
    if linked := next((path for path in paths if path.is_symlink() and path.is_dir()), None):
        fault = f"holds a link to a folder ({linked.relative_to(folder)})"
        raise EarshotError(url, fault, "replace the link by a copy of that folder")
    return [path for path in paths if not path.is_dir()]


def _copy_file(source: Path, target: Path) -> None:
    with open_regular(source) as reading, target.open("wb") as writing:
        shutil.copyfileobj(reading, writing, AT_ONCE)


def _check_size(url: str, n: int, largest: int) -> None:
    if n > largest:
        fault = f"is larger than {largest / 1e9:.3g} GB"
        raise EarshotError(_shown(url), fault, "fetch it by other means, and give its path")


# s3://


def _fetch_from_s3(url: str, folder: Path, largest: int) -> Path:
    import fsspec

    try:
        system, path = fsspec.url_to_fs(url)
    except ImportError:
        raise EarshotError(url, "needs s3fs, which is not installed", "pip install s3fs") from None
    target = folder / _name(urlsplit(url))
    try:
        is_folder = system.isdir(path)
        _check_size(url, int(system.du(path) if is_folder else system.size(path) or 0), largest)
        if is_folder:
            with new_folder(target) as part:
                system.get(f"{path.rstrip('/')}/", f"{part}/", recursive=True)
        else:
            with atomic(target) as part:
                system.get_file(path, str(part))
    except EarshotError:
        raise
    except FileNotFoundError:
        raise EarshotError(url, "no such object", "check the URL") from None
    except Exception as error:  # s3fs raises exceptions of many libraries
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise EarshotError(url, f"cannot be fetched ({reason})", "check the URL and the credentials of S3") from None
    return target


# http(s)://


@dataclass(frozen=True)
class _Rules:
    sha256: str | None
    allow_private: bool
    limits: TransferLimits


class _BrokenOff(Exception):
    """A transfer ended too early; what has come stays."""


def _fetch_over_http(url: str, folder: Path, rules: _Rules) -> Path:
    target = folder / _name(urlsplit(url))
    part = target.with_name(f".{target.name}.part")
    state = target.with_name(f".{target.name}.state.part")  # of the server's file, as far as it says so
    with FileLock(target.with_name(f".{target.name}.lock")) as lock:
        try:
            if state.exists() and not state.read_text(encoding="utf-8").startswith(f"{url}\n"):
                part.unlink(missing_ok=True)  # of another URL
            _transfer_all(url, part, state, rules)
            try:
                if rules.sha256 is not None:
                    _check_sha256(url, part, rules.sha256)
                os.replace(part, target)
            finally:
                part.unlink(missing_ok=True)
                state.unlink(missing_ok=True)
        finally:
            Path(lock.lock_file).unlink(missing_ok=True)  # before the release: who waits for it makes another
    return target


def _transfer_all(url: str, part: Path, state: Path, rules: _Rules) -> None:
    """Fetch a file, in several attempts if transfers break off. Raises EarshotError if they all do."""
    deadline = time.monotonic() + rules.limits.longest_seconds
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _transfer(url, part, state, rules, deadline)
        except (*BROKEN_OFF, _BrokenOff) as error:
            if attempt == ATTEMPTS or time.monotonic() > deadline:
                fault = f"cannot be fetched ({str(error) or type(error).__name__})"
                raise EarshotError(_shown(url), fault, "check the network, and try again: it is resumed") from None
            time.sleep(PAUSE_SECONDS * attempt)


def _transfer(url: str, part: Path, state: Path, rules: _Rules, deadline: float) -> None:
    """Fetch what is missing of a file. Raises EarshotError, or one of BROKEN_OFF."""
    before, validator = _state_of(part, state)
    headers = {"Range": f"bytes={before}-", "If-Range": validator} if before else {}
    with _answer(url, headers, rules) as answer:
        if answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and before:
            part.unlink()
            raise _BrokenOff("the server's file is shorter than it was")
        if answer.status == HTTPStatus.OK:
            before = 0
        elif answer.status != HTTPStatus.PARTIAL_CONTENT or not _begins_at(answer, before):
            raise _refused(url, answer)
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise EarshotError(_shown(url), "is sent compressed, which was not asked for", "fetch it by other means")
        _check_size(url, before + int(answer.length or 0), rules.limits.largest)
        if not before:
            part.unlink(missing_ok=True)
            write_text(state, f"{url}\n{_validator(answer)}\n")
        with part.open("ab") as file:
            while content := _read(answer, deadline):
                before += len(content)
                if before > rules.limits.largest:
                    part.unlink()
                    _check_size(url, before, rules.limits.largest)
                file.write(content)
        if answer.length:  # http.client says nothing of a body that ends too early, if it is read in parts
            raise _BrokenOff("the connection was closed early")


def _read(answer: http.client.HTTPResponse, deadline: float) -> bytes:
    if time.monotonic() > deadline:
        raise _BrokenOff("it takes too long")
    return answer.read1(AT_ONCE)


def _state_of(part: Path, state: Path) -> tuple[int, str]:
    """How many bytes have come, and what tells the server's file from later ones; 0 if they cannot be added to."""
    try:
        validator = read_text(state).splitlines()[1]
        return (part.stat().st_size, validator) if validator else (0, "")
    except (OSError, IndexError, UnicodeDecodeError):
        return 0, ""


def _validator(answer: http.client.HTTPResponse) -> str:
    """An entity tag or date by which the server tells whether its file is still the same; "" if it says nothing."""
    tag = answer.headers.get("ETag", "")
    return answer.headers.get("Last-Modified", "") if not tag or tag.startswith("W/") else tag


def _begins_at(answer: http.client.HTTPResponse, first: int) -> bool:
    return first > 0 and answer.headers.get("Content-Range", "").startswith(f"bytes {first}-")


def _refused(url: str, answer: http.client.HTTPResponse) -> EarshotError:
    return EarshotError(_shown(url), f"the server answers {answer.status} {answer.reason}", "check the URL")


@contextmanager
def _answer(url: str, headers: Mapping[str, str], rules: _Rules) -> Iterator[http.client.HTTPResponse]:
    """The answer to a request, after all redirects. Raises EarshotError if one leads where it must not."""
    asked = url
    for _ in range(REDIRECTS + 1):
        parts = _split(asked)
        if parts.scheme not in ("http", "https"):
            raise EarshotError(_shown(url), f"is redirected to {parts.scheme}://", "check where it is from")
        connection = _connection(asked, parts, rules)
        try:
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            fields = {"User-Agent": "earshot", "Accept-Encoding": "identity", **headers}
            connection.request("GET", _quoted(path), headers=fields)
            answer = connection.getresponse()
            if answer.status not in MOVED:
                yield answer
                return
            place = answer.headers.get("Location")
            if not place:
                raise _refused(asked, answer)
            following = urljoin(asked, place)
            if parts.scheme == "https" and urlsplit(following).scheme == "http":
                raise EarshotError(_shown(url), "is redirected from https to http", "check where it is from")
            asked = following
        except http.client.HTTPException as error:
            if isinstance(error, BROKEN_OFF):
                raise
            fault = f"the server's answer cannot be understood ({type(error).__name__})"
            raise EarshotError(_shown(asked), fault, "check the URL") from None
        finally:
            connection.close()
    raise EarshotError(_shown(url), f"is redirected more than {REDIRECTS} times", "check the URL")


def _quoted(path: str) -> str:
    """A path and query as they are sent: characters that no request may hold are escaped."""
    return re.sub(r"[^!-~]", lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), path)


def _connection(url: str, parts: SplitResult, rules: _Rules) -> http.client.HTTPConnection:
    """A connection to the one address of a URL's host that was checked. Raises EarshotError if there is none."""
    host, wait = str(parts.hostname), rules.limits.wait_seconds
    port = parts.port or (443 if parts.scheme == "https" else 80)
    addresses = _addresses(url, host, port)
    if not rules.allow_private and not all(map(_is_public, addresses)):
        fault = f"leads to an address that is not public ({', '.join(dict.fromkeys(addresses))})"
        raise EarshotError(_shown(url), fault, "give a URL on the internet")
    try:
        plain = _connected(addresses, port, wait)
        if parts.scheme == "https":
            connection: Any = http.client.HTTPSConnection(host, port, timeout=wait)
            connection.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=host)
        else:
            connection = http.client.HTTPConnection(host, port, timeout=wait)
            connection.sock = plain
    except BROKEN_OFF:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise EarshotError(_shown(url), f"cannot be reached ({reason})", "check the URL and the network") from None
    return connection


def _connected(addresses: Sequence[str], port: int, wait: float) -> socket.socket:
    """A connection to the first of the addresses that answers. Raises OSError if none does."""
    for address in addresses[:-1]:
        try:
            return socket.create_connection((address, port), timeout=wait)
        except OSError:
            continue
    return socket.create_connection((addresses[-1], port), timeout=wait)


def _addresses(url: str, host: str, port: int) -> list[str]:
    """The IP addresses of a host. Raises EarshotError if it has none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise EarshotError(_shown(url), f"its host cannot be found ({reason})", "check the URL") from None
    return [str(address[0]) for *_, address in found]


def _is_public(text: str) -> bool:
    """Whether an IP address is one of the internet, also one that stands for another address."""
    address = ipaddress.ip_address(text.partition("%")[0])
    inner: list[Any] = []
    if isinstance(address, ipaddress.IPv6Address):
        inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in NAT64:
            inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if address.is_site_local:
            return False
        if address.ipv4_mapped:
            return _is_public(str(address.ipv4_mapped))
    return all(each.is_global and not each.is_multicast for each in (address, *filter(None, inner)))
