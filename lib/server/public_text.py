"""What is told to clients: one line about a fault, which shows no path of this machine."""

import re
from collections.abc import Iterable
from pathlib import Path

from lib.core.errors import EarshotError
from lib.core.files import printable

LONGEST_LINE = 300
"""Characters of a line: what is wrong may be a value of any length."""
LONGEST_NAME = 120
FOLDERS = re.compile(r"(?<![\w.:/])(?:[A-Za-z]:)?[\\/](?:[^\s\\/:;,'\"()]+[\\/])+")
"""The folders of an absolute path."""


def public_line(error: EarshotError, name: str, folders: Iterable[Path] = ()) -> str:
    """An error as a line about something that the client calls by that name.

    folders: those whose paths the error may hold, besides other absolute ones.

    >>> public_line(EarshotError("/srv/data/a.wav", "cannot be decoded (as /srv/data/a.wav)", "convert it"), "a.wav")
    'a.wav: cannot be decoded (as a.wav); convert it'
    """
    text = f"{error.fault}; {error.remedy}" if error.remedy else error.fault
    for folder in folders:
        for path in dict.fromkeys((str(folder.resolve()), str(folder.absolute()), str(folder))):
            if len(path) > 1:
                text = text.replace(f"{path}/", "").replace(path, folder.name)
    text = FOLDERS.sub("", printable(" ".join(text.split())))
    return f"{shown_name(name)}: {text}"[:LONGEST_LINE]


def shown_name(name: str) -> str:
    r"""A name that a client gave, on one line and of bounded length.

    >>> shown_name("a\r\nb.wav")
    'a\\x0d\\x0ab.wav'
    """
    text = printable(name)
    return text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}..."
