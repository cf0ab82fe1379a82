"""URLs that others may have written: their parts, and how they are named without what may be a secret."""

import re
from urllib.parse import SplitResult, unquote, urlsplit

from lib.core.errors import EarshotError
from lib.core.files import fitting_name, printable


def split_url(url: str) -> SplitResult:
    """The parts of a URL. Raises EarshotError if it is none that can be fetched."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  which raises ValueError if it is no number
    except ValueError as error:
        raise EarshotError(shown_url(url), f"is no URL ({error})", "check it") from None
    if parts.scheme not in ("http", "https", "file", "s3") or printable(url) != url:
        raise EarshotError(shown_url(url), "is no URL that can be fetched", "give an http(s)://, file:// or s3:// URL")
    if parts.username is not None or parts.password is not None:
        fault = "holds a user's name, or a password"
        raise EarshotError(shown_url(url), fault, "fetch the file by other means, and give its path")
    if parts.scheme != "file" and not parts.hostname:
        raise EarshotError(shown_url(url), "names no host", "check it")
    return parts


def shown_url(url: str) -> str:
    """A URL for an error: without a user's name and password, and without its query, which may hold a token.

    >>> shown_url("https://me:secret@example.org/frogs.pt?token=secret")
    'https://example.org/frogs.pt'
    """
    return re.sub(r"//[^/@]*@", "//", re.split("[?#]", url, maxsplit=1)[0])


def file_name_of(url: str) -> str:
    """The name that a file of a URL gets here: the last part of its path, without what is dangerous in a name."""
    name = unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2])
    name = re.sub(r"[/\\]", "_", printable(name)).lstrip(".") or "download"
    return fitting_name(name, "", more=80)
