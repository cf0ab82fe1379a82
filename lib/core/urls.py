"""Untrusted URLs: their parts, and how to show and store them without secrets."""

import re
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from lib.core.digests import digest_of
from lib.core.errors import EarshotError
from lib.core.files import fitting_name, printable

ACCESS = re.compile(
    r"x-(amz|goog)-.*|.*(token|signature|secret|password|credential|auth|session|api[-_]?key|access[-_]?key).*"
    r"|sig|key|jwt|expires|policy|key-pair-id|googleaccessid"  # of Google's and CloudFront's signed URLs, and others
    r"|sv|ss|srt|sp|sr|st|se|spr|sip|skoid|sktid|skt|ske|sks|skv",  # of Azure's
    re.IGNORECASE,
)
"""Query parameters that grant access and do not identify the file."""
KEPT = re.compile("query=[0-9a-f]{16}")
"""The query of a URL that url_without_query returned."""


def split_url(url: str) -> SplitResult:
    """The parts of a URL. Raises EarshotError if it cannot be fetched."""
    parts = _parts(url)
    if parts.scheme not in ("http", "https", "file", "s3") or printable(url) != url:
        raise EarshotError(shown_url(url), "is not a URL that can be fetched", "give an http(s), file or s3 URL")
    if parts.username is not None or parts.password is not None:
        fault = "contains a user name or a password"
        raise EarshotError(shown_url(url), fault, "download the file another way and give its path")
    if parts.scheme != "file" and not parts.hostname:
        raise EarshotError(shown_url(url), "names no host", "check it")
    return parts


def shown_url(url: str) -> str:
    """A URL as errors show it: without user name and password, and without its query, which may contain a token.

    >>> shown_url("https://me:secret@example.org/frogs.pt?token=secret")
    'https://example.org/frogs.pt'
    """
    return re.sub(r"//[^/@]*@", "//", re.split("[?#]", url, maxsplit=1)[0])


def url_without_query(url: str) -> str:
    """A URL that is safe to store: a digest replaces its query, without the parameters that grant access.

    >>> url_without_query("https://example.org/frogs.pt?token=secret")
    'https://example.org/frogs.pt'
    >>> url_without_query("https://example.org/file?id=7&token=secret")
    'https://example.org/file?query=5a33775571e3e7ce'
    """
    parts = _parts(url)
    fields = sorted(field for field in parse_qsl(parts.query, keep_blank_values=True) if not ACCESS.fullmatch(field[0]))
    if not KEPT.fullmatch(parts.query):
        parts = parts._replace(query=f"query={digest_of(fields)[:16]}" if fields else "")
    return parts._replace(fragment="").geturl()


def file_name_of(url: str) -> str:
    """The local name of a URL's file: the last part of its path, without characters that are unsafe in a name."""
    name = unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2])
    name = re.sub(r"[/\\]", "_", printable(name)).lstrip(".") or "download"
    return fitting_name(name, "", more=80)


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  raises ValueError if it is not a number
    except ValueError:  # whose message may quote a password
        raise EarshotError(shown_url(url), "is not a URL", "check its host and port") from None
    return parts
