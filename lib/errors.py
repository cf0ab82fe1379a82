"""What can go wrong with a user's input, said in one line: what it is about, what is wrong, what to do."""

from typing import NamedTuple

from lib.files import printable


class EarshotError(Exception):
    """An error that a user can mend. A stage prints its message as one line and exits with status 1."""


class SettingsError(EarshotError):
    """A setting in params.yaml or on the command line is not usable."""


class AudioError(EarshotError):
    """A recording cannot be read."""

    def problem(self, subject: object) -> "Problem":
        """This error as a Problem of a recording that the run passed over; subject: its path, as it is to be shown."""
        reason, _, action = str(self).rpartition("; ")
        return Problem(printable(str(subject)), reason, action)


class DataSetError(EarshotError):
    """A data set as a whole cannot be used."""


class Problem(NamedTuple):
    """Something wrong with one input, which the run passed over while it went on with the others.

    subject: the file (or file and line) that is meant; reason: what is wrong with it; action: what to do about it.
    `lost` tells whether something was left out: where it is false, the input was used all the same.
    """

    subject: str
    reason: str
    action: str
    lost: bool = True

    def __str__(self) -> str:
        return " ".join(f"{self.subject}: {self.reason}; {self.action}".split())
