"""When and where a recording was made, according to its name, its GUANO metadata and its comment.

Only headers are read, so a day-long recording takes no longer than a short one. GUANO (guano-md.org) is text in a chunk
`guan` of a WAV file. AudioMoth recorders write into the comment: `Recorded at 19:17:30 10/12/2018 (UTC+1) by AudioMoth
...`. Their first firmware named files by seconds since 1970 in hexadecimal, such as 5B3A2C10.WAV.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, time, timezone
from pathlib import Path
from typing import NamedTuple

import soundfile

from lib.core.errors import failed_for_a_moment, reading
from lib.core.files import open_regular
from lib.sound.recordings import SNDFILE_HEADS
from lib.sound.riff import riff_chunks

GUANO_BYTES = 2**20
"""Longer GUANO chunks are cut."""

# Year, month and day with the same separator or none. Digits may follow only as the time of day, HHMM or HHMMSS. After
# a letter, eight digits without a time of day are more likely an ID, such as XC19981230.
DATE = re.compile(
    r"(?<!\d)(?:(?<![A-Za-z])|(?=\d{4}[-_]|\d{8}[-_T ]?\d{4}))"
    r"((?:19|20)\d\d)([-_]?)(\d\d)\2(\d\d)(?=\D|$|\d{4}(?!\d)|\d{6}(?!\d))",
    re.ASCII,
)
TIME = re.compile(
    r"(?:[-_ T]|(?<=\d))([01]\d|2[0-3])([-_:.]?)([0-5]\d)(?:\2([0-5]\d))?(?:[.,]\d+)?(Z|[+-]\d\d:?\d\d)?(?!\d)",
    re.ASCII,
)
RECORDED_AT = re.compile(
    r"Recorded at (\d\d:\d\d:\d\d)(?:\.\d+)? (\d\d/\d\d/\d{4})(?: \(UTC(?:([+-])(\d\d?)(?::?(\d\d))?)?\))?",
    re.ASCII,
)
HEX_NAME = re.compile(r"[0-9A-F]{8}", re.ASCII)
HEX_YEARS = range(2016, 2031)
"""Years in which hexadecimal names were given; other numbers are not taken for times."""


class Moment(NamedTuple):
    """When a recording was made.

    Args:
        date: in the recorder's time zone.
        time: date and time of day, None if unknown; aware of the time zone if that is known.
        source: where this is written.
    """

    date: date
    time: datetime | None
    source: str


class Position(NamedTuple):
    """Where a recording was made, in degrees."""

    latitude: float
    longitude: float


def recording_moment(path: str | Path, name: str | None = None) -> Moment | None:
    """When a recording was made, by its name, its GUANO metadata, its comment or, last, a hexadecimal name.

    Args:
        path: the recording, of which at most the header is read.
        name: of the recording, if it is not that of the file.

    Raises AudioError if the file cannot be read.
    """
    name = Path(path).stem if name is None else name
    return moment_in_name(name) or _guano_moment(path) or _comment_moment(path) or _hex_moment(name)


def moment_in_name(name: str) -> Moment | None:
    """The first possible date (1900..2099) in a name, such as SMM01234_20240512_053000 or 2024-05-12T05-30+0200.

    The time of day is HHMM or HHMMSS right after it.
    """
    for match in DATE.finditer(name):
        year, _, month, day_of_month = match.groups()
        with suppress(ValueError):  # there is no such day
            day = date(int(year), int(month), int(day_of_month))
            return Moment(day, _time_of_day(day, name[match.start() :], match.end() - match.start()), "file name")
    return None


def _time_of_day(day: date, text: str, start: int) -> datetime | None:
    match = TIME.match(text, start)
    if match is None:
        return None
    hour, _, minute, second, zone = match.groups()
    at = datetime.combine(day, time(int(hour), int(minute), int(second or 0)))
    with suppress(ValueError):  # there is no such zone
        return at.replace(tzinfo=datetime.strptime(zone, "%z").tzinfo) if zone else at
    return at


def _hex_moment(name: str) -> Moment | None:
    if not HEX_NAME.fullmatch(name):
        return None
    at = datetime.fromtimestamp(int(name, 16), UTC)
    return Moment(at.date(), at, "AudioMoth file name") if at.year in HEX_YEARS else None


def _comment_moment(path: str | Path) -> Moment | None:
    match = RECORDED_AT.search(_comment(path))
    if match is None:
        return None
    clock, day, sign, hours, minutes = match.groups("")
    text = f"{clock} {day} {sign or '+'}{hours:0>2}{minutes or '00'}"
    with suppress(ValueError):
        at = datetime.strptime(text, "%H:%M:%S %d/%m/%Y %z")
        return Moment(at.date(), at, "WAV comment")
    return None


def _comment(path: str | Path) -> str:
    """The comment in a recording's header; empty if there is none. Raises AudioError if the file cannot be read."""
    with _reading(path):
        with open_regular(path) as file:
            if file.read(4) not in SNDFILE_HEADS:
                return ""
        first, second = _read_comment(path), _read_comment(path)
        if first != second:  # to libsndfile, a disk that fails for a moment looks like another header
            raise failed_for_a_moment(path)
        return first
    return ""


@contextmanager
def _reading(path: str | Path) -> Iterator[None]:
    """What the operating system says becomes an AudioError, except that there is no such file, which tells nothing."""
    with reading(path), suppress(FileNotFoundError):
        yield


def _read_comment(path: str | Path) -> str:
    try:
        with soundfile.SoundFile(os.open(path, os.O_RDONLY), closefd=True) as sound:
            return sound.comment
    except soundfile.LibsndfileError:
        return ""


def _guano_moment(path: str | Path) -> Moment | None:
    at = _guano_field(path, "Timestamp")
    if not isinstance(at, datetime):
        return None
    with suppress(ValueError):  # a zone of more than a day
        offset = at.utcoffset()
        return Moment(at.date(), at.replace(tzinfo=offset if offset is None else timezone(offset)), "GUANO")
    return None


def recording_position(path: str | Path) -> Position | None:
    """Where a recording was made, by the field `Loc Position` of its GUANO metadata.

    Raises AudioError if the file cannot be read.
    """
    position = _guano_field(path, "Loc Position")
    if not isinstance(position, tuple) or len(position) != 2:
        return None
    latitude, longitude = position
    return Position(latitude, longitude) if -90 <= latitude <= 90 and -180 <= longitude <= 180 else None


def _guano_field(path: str | Path, field: str) -> object:
    """The value of a field of a file's GUANO metadata; None if it is missing or invalid."""
    import guano

    for line in _guano_text(path).splitlines():
        if line.partition(":")[0].strip() == field:
            with suppress(ValueError, TypeError):
                return guano.GuanoFile.from_string(line, strict=True).get(field)
            return None
    return None


def _guano_text(path: str | Path) -> str:
    with _reading(path), open_regular(path) as file:
        for chunk in riff_chunks(file):
            if chunk.name == b"guan":
                file.seek(chunk.start)
                return file.read(min(chunk.size, GUANO_BYTES)).decode("utf-8", "replace").replace("\0", "")
    return ""
