"""What can go wrong with a user's input, in fields: what it is about, what is wrong, what to do."""

import errno
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from lib.core.files import printable, without_password

LASTING = frozenset({errno.ENOENT, errno.EACCES, errno.EPERM, errno.EINVAL, errno.EISDIR, errno.ENOTDIR, errno.ELOOP})
"""Errors of the operating system that are there the next time, too."""
UNANSWERED = re.compile(
    r"API request to (\w+://[^/\s]+)\S* failed with (?:timeout )?exception (.*?)(?: To increase .*)?$"
)
"""What MLflow says when its server gives no answer: the server, and errors of several libraries, one in the other."""
LONGEST_LINE = 1500
"""Characters of an error: what is wrong may be a value of any length."""


class Problem(NamedTuple):
    """Something wrong with one input, which the run passed over while it went on with the others.

    Args:
        subject: the file (or file and line), setting or class that is meant.
        fault: what is wrong with it.
        remedy: what to do about it.
        lost: whether something was left out; False: the input was used all the same.
        again: whether to read the input again next time, since it may be whole by then.
    """

    subject: str
    fault: str
    remedy: str
    lost: bool = True
    again: bool = False

    def __str__(self) -> str:
        return _line(self.subject, self.fault, self.remedy)


class EarshotError(Exception):
    """An error that a user can mend. A stage prints it and exits with status 1.

    Args:
        subject: the file, setting or class that is meant.
        fault: what is wrong with it.
        remedy: what to do about it; "" where the fault says it.
        causes: what led to it, each printed before it as a line of its own.
    """

    def __init__(self, subject: object, fault: str, remedy: str = "", causes: Iterable[object] = ()) -> None:
        self.subject = printable(str(subject))
        self.fault, self.remedy, self.causes = fault, remedy, tuple(causes)
        super().__init__(subject, fault, remedy, self.causes)

    def __str__(self) -> str:
        return "\n".join([*map(str, self.causes), _line(self.subject, self.fault, self.remedy)])

    def problem(self, lost: bool = True) -> Problem:
        """This error as a Problem of an input that the run passes over."""
        return Problem(self.subject, self.fault, self.remedy, lost)


class SettingsError(EarshotError):
    """A setting in params.yaml or on the command line is not usable."""


class AudioError(EarshotError):
    """A recording cannot be read.

    again: whether it may be read another time, as after a fault of the disk or the network.
    """

    def __init__(
        self, subject: object, fault: str, remedy: str = "", causes: Iterable[object] = (), again: bool = False
    ) -> None:
        super().__init__(subject, fault, remedy, causes)
        self.again = again

    def problem(self, lost: bool = True) -> Problem:
        return super().problem(lost)._replace(again=self.again)


class DataSetError(EarshotError):
    """A data set as a whole cannot be used."""


def unreadable(path: object, error: OSError) -> AudioError:
    """The AudioError for a recording that the operating system does not let us read."""
    if error.errno in LASTING:
        return AudioError(path, f"cannot be read ({error.strerror})", "check the file and its permissions")
    return failed_for_a_moment(path, f"cannot be read ({error.strerror or error})")


def failed_for_a_moment(path: object, fault: str = "reading it failed for a moment") -> AudioError:
    """The AudioError for a recording that a disk or a network does not give us now."""
    return AudioError(path, fault, "check the disk, and run the same command again", again=True)


def store_error(error: Exception) -> EarshotError:
    """What MLflow says about its store, as an error of the user."""
    reason, remedy = store_fault(error), "check that tracking.uri can be reached"
    if "timed out" in reason:
        remedy += ", or let it take more seconds with the environment variable MLFLOW_HTTP_REQUEST_TIMEOUT"
    return EarshotError("MLflow store", reason, remedy)


def store_fault(error: Exception) -> str:
    """The first line of what MLflow says about its store, without passwords; of a server that is away, the cause."""
    text = without_password(str(error).strip().partition("\n")[0])
    if unanswered := UNANSWERED.match(text):
        server, details = unanswered.groups()
        innermost = re.search(r"""["']([^"']*)["'][).]*$""", details)
        cause = (innermost[1] if innermost else details).rpartition(": ")[2].partition(". (")[0].strip(" ().")
        return f"a request to {server} failed ({cause[:200]})"
    return text[:300].rstrip(". ") or type(error).__name__


@contextmanager
def reading(path: object) -> Iterator[None]:
    """Turn what the operating system says about a recording into an AudioError."""
    try:
        yield
    except OSError as error:
        raise unreadable(path, error) from None


def _line(subject: str, fault: str, remedy: str) -> str:
    text = f"{subject}: {fault}" if subject else fault
    text = " ".join((f"{text}; {remedy}" if remedy else text).split())
    return text if len(text) <= LONGEST_LINE else f"{text[: LONGEST_LINE // 2]} ... {text[-LONGEST_LINE // 2 :]}"
