"""Fetch objects from S3, or from the S3-compatible server that AWS_ENDPOINT_URL names.

The endpoint comes from the user's own settings, never from the URL, so its address is not checked. Credentials come
from the usual places: the environment, ~/.aws, or the machine's role in a cloud.
"""

import time
from collections.abc import Callable
from contextlib import closing
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

from lib.core import http_transfers
from lib.core.entry_places import EntryPlaces
from lib.core.errors import EarshotError
from lib.core.files import atomic, new_folder, printable
from lib.core.http_transfers import ATTEMPTS, TransferLimits
from lib.core.urls import shown_url, split_url

AT_ONCE = 2**16
"""Bytes read at a time; the time limit is checked in between."""
NO_CREDENTIALS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; a public object has an https:// URL"

Answer = TypeVar("Answer")


class _NoSuchObject(Exception):
    """A bucket has no object with that key."""


def fetch_from_s3(url: str, target: Path, limits: TransferLimits) -> None:
    """Fetch an object as a file or, if there is no object with that key, all objects below it as a folder.

    Args:
        url: `s3://BUCKET/KEY`, the key is not percent-decoded.
        target: the file or folder; it appears whole or not at all.
        limits: of size, number of files and time.

    Raises EarshotError.
    """
    if url != shown_url(url):
        raise EarshotError(shown_url(url), "has a query or a fragment", "give s3://BUCKET/KEY")
    parts = split_url(url)
    bucket, key = _Bucket(url, parts.netloc, limits), parts.path.removeprefix("/")
    try:
        if key and not key.endswith("/"):
            try:
                with atomic(target) as part:
                    return bucket.copy(key, part)
            except _NoSuchObject:
                key += "/"
        with new_folder(target) as folder:
            bucket.copy_all(key, folder)
    except _NoSuchObject:
        raise EarshotError(shown_url(url), "no such object or folder", "check the URL") from None
    except OSError as error:
        raise EarshotError(shown_url(url), f"cannot be written ({error.strerror})", "check the disk") from None


class _Bucket:
    """The bucket of a URL, and how much of the limits is used up."""

    def __init__(self, url: str, name: str, limits: TransferLimits) -> None:
        self._url, self._name, self._limits = url, name, limits
        self._deadline = time.monotonic() + limits.longest_seconds
        self._n_bytes = 0
        self._client = self._attempt(self._new_client)

    def _new_client(self) -> Any:
        from botocore.config import Config
        from botocore.session import get_session

        wait, once = self._limits.wait_seconds, {"total_max_attempts": 1}  # _attempt retries
        return get_session().create_client("s3", config=Config(connect_timeout=wait, read_timeout=wait, retries=once))

    def copy_all(self, prefix: str, folder: Path) -> None:
        """Fetch all objects with a prefix. Raises EarshotError, or _NoSuchObject if there are none."""
        keys = self._keys(prefix)
        if not keys:
            raise _NoSuchObject
        places = EntryPlaces(shown_url(self._url), folder, "nothing was fetched")
        for key in keys:
            self.copy(key, places.place(key.removeprefix(prefix), is_folder=False))

    def copy(self, key: str, path: Path) -> None:
        """Fetch an object. Raises EarshotError, or _NoSuchObject."""
        before = self._n_bytes

        def fetch_object() -> None:
            self._n_bytes = before
            answer = self._client.get_object(Bucket=self._name, Key=key)
            with closing(answer["Body"]) as body, path.open("wb") as file:
                self._limits.check_size(self._url, before + answer["ContentLength"])
                while content := body.read(AT_ONCE):
                    self._check_time()
                    self._n_bytes += len(content)
                    self._limits.check_size(self._url, self._n_bytes)
                    file.write(content)

        self._attempt(fetch_object)

    def _keys(self, prefix: str) -> list[str]:
        """Keys of all objects with a prefix, without the markers of folders. Raises EarshotError."""
        keys: list[str] = []
        options = {"Bucket": self._name, "Prefix": prefix}
        n_bytes = 0
        while True:
            page = self._attempt(lambda: self._client.list_objects_v2(**options))
            objects = [each for each in page.get("Contents", ()) if not each["Key"].endswith("/")]
            keys += [each["Key"] for each in objects]
            n_bytes += sum(each["Size"] for each in objects)
            self._limits.check_files(self._url, len(keys))
            self._limits.check_size(self._url, n_bytes)
            self._check_time()
            if "NextContinuationToken" not in page:
                return keys
            options["ContinuationToken"] = page["NextContinuationToken"]

    def _attempt(self, ask: Callable[[], Answer]) -> Answer:
        """The result of a request, which is retried if the connection fails, but not if the server is silent."""
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError
        from urllib3.exceptions import HTTPError

        for attempt in range(1, ATTEMPTS + 1):
            try:
                return ask()
            except (BotoCoreError, ClientError, ResponseParserError, HTTPError, ValueError) as error:
                if attempt == ATTEMPTS or not _may_pass(error):
                    raise self._failure(error) from None
            time.sleep(http_transfers.PAUSE_SECONDS * attempt)
            self._check_time()
        raise AssertionError  # the last attempt returns or raises

    def _check_time(self) -> None:
        if time.monotonic() > self._deadline:
            raise self._failed("the transfer takes too long", "check the network")

    def _failure(self, error: Exception) -> Exception:
        """The EarshotError or _NoSuchObject for an error of the libraries below."""
        from botocore import exceptions

        if isinstance(error, exceptions.ClientError):
            code, status = error.response["Error"]["Code"], _status(error)
            if code == "NoSuchBucket":
                return EarshotError(shown_url(self._url), "no such bucket", "check the URL")
            if status == HTTPStatus.NOT_FOUND:
                return _NoSuchObject()
            if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
                return self._failed(f"access is denied: {printable(code)}", "check the URL and your S3 credentials")
            return self._failed(f"the server answers {printable(code)}", "check the URL")
        if isinstance(error, exceptions.ParamValidationError):
            return EarshotError(shown_url(self._url), "has an invalid bucket name", "check the URL")
        if isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
            return self._failed("no S3 credentials were found", NO_CREDENTIALS)
        if isinstance(error, exceptions.ReadTimeoutError | exceptions.ConnectTimeoutError):
            return self._failed("it timed out", "check the network, and AWS_ENDPOINT_URL if that is set")
        reason = next(iter(str(error).splitlines()), "").rstrip(".") or type(error).__name__
        return self._failed(reason, "check the URL, the network and your S3 settings")

    def _failed(self, reason: str, remedy: str) -> EarshotError:
        return EarshotError(shown_url(self._url), f"cannot be fetched ({reason})", remedy)


def _may_pass(error: Exception) -> bool:
    """Whether the same request may succeed a moment later."""
    from botocore import exceptions

    if isinstance(error, exceptions.ClientError):
        return _status(error) >= HTTPStatus.INTERNAL_SERVER_ERROR
    passing = (
        exceptions.EndpointConnectionError,
        exceptions.ConnectionClosedError,
        exceptions.ResponseStreamingError,
        exceptions.IncompleteReadError,
    )
    return isinstance(error, passing)


def _status(error: Any) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
