"""Names of projects, sets, frames and labels: any text that can be stored and shown."""

from lib.core.errors import EarshotError
from lib.core.files import printable

LONGEST_NAME = 1000
"""Characters."""


def name_fault(name: object) -> str:
    """What is wrong with a name; "" if nothing is.

    >>> name_fault("dawn chorus <1>"), name_fault("a\\0b")
    ('', 'must not hold control characters or invalid Unicode')
    """
    if not isinstance(name, str) or not name.strip():
        return "must be a text that is not empty"
    if len(name) > LONGEST_NAME:
        return f"must not be longer than {LONGEST_NAME} characters"
    return "" if printable(name) == name else "must not hold control characters or invalid Unicode"


def check_entry_name(what: str, name: object) -> None:
    """Raise EarshotError if a name cannot be used. what: it is of, such as project."""
    if fault := name_fault(name):
        raise EarshotError(f"{what} {str(name)[:100]!r}", fault, "choose another name")
