"""When and where a recording was made, as far as its file tells: its name, GUANO metadata, and its comment.

Only headers are read, so that it takes the same time for a minute and for a day. GUANO (guano-md.org) is text in a
chunk `guan` of a WAV file. AudioMoth recorders write into the comment: `Recorded at 19:17:30 10/12/2018 (UTC+1) by
AudioMoth ...`. Their first firmware named files by seconds since 1970 in hexadecimal, such as 5B3A2C10.WAV.
"""

import datetime
import os
import re
import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

import soundfile

from lib.audio.reader import SNDFILE_HEADS

UTC = datetime.UTC
GUANO_BYTES = 2**20
"""A chunk that claims to be larger than this is not read as GUANO."""

# Year, month and day with the same separator or none; digits may follow only as the time of day, HHMM or HHMMSS. Right
# behind a letter, eight digits without a time of day are rather an ID, such as XC19981230.
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
    r"Recorded at (\d\d):(\d\d):(\d\d)(?:\.\d+)? (\d\d)/(\d\d)/(\d{4})(?: \(UTC(?:([+-]\d\d?)(?::?(\d\d))?)?\))?",
    re.ASCII,
)
HEX_NAME = re.compile(r"[0-9A-F]{8}", re.ASCII)
HEX_YEARS = range(2016, 2031)
"""Years in which a file may have a hexadecimal name; others are not taken for one."""


class Moment(NamedTuple):
    """When a recording was made.

    date: in the recorder's time zone. time: the same with the time of day, None where that is not known; aware of the
    time zone where that is known. source: what told it.
    """

    date: datetime.date
    time: datetime.datetime | None
    source: str


class Position(NamedTuple):
    """Where a recording was made, in degrees."""

    latitude: float
    longitude: float


def recording_moment(path: str | Path, name: str | None = None) -> Moment | None:
    """When a recording was made: by its name, its GUANO metadata, its comment or, last, a hexadecimal name.

    name: the recording's name, if it is not that of the file. A file that cannot be read tells nothing.
    """
    name = Path(path).stem if name is None else name
    return moment_in_name(name) or _guano_moment(path) or _comment_moment(path) or _hex_moment(name)


def moment_in_name(name: str) -> Moment | None:
    """The first possible date (1900..2099) in a name, such as SMM01234_20240512_053000 or 2024-05-12T05-30+0200.

    The time of day is HHMM or HHMMSS right behind it.
    """
    for match in DATE.finditer(name):
        year, _, month, day = match.groups()
        try:
            date = datetime.date(int(year), int(month), int(day))
        except ValueError:
            continue
        return Moment(date, _time_of_day(date, name[match.start() :], match.end() - match.start()), "file name")
    return None


def _time_of_day(date: datetime.date, text: str, start: int) -> datetime.datetime | None:
    match = TIME.match(text, start)
    if match is None:
        return None
    hour, _, minute, second, zone = match.groups()
    at = datetime.time(int(hour), int(minute), int(second or 0))
    return datetime.datetime.combine(date, at, _zone(zone) if zone else None)


def _zone(text: str) -> datetime.timezone | None:
    if text == "Z":
        return UTC
    sign = -1 if text[0] == "-" else 1
    minutes = sign * (60 * int(text[1:3]) + int(text[-2:]))
    return datetime.timezone(datetime.timedelta(minutes=minutes)) if abs(minutes) < 24 * 60 else None


def _hex_moment(name: str) -> Moment | None:
    if not HEX_NAME.fullmatch(name):
        return None
    time = datetime.datetime.fromtimestamp(int(name, 16), UTC)
    return Moment(time.date(), time, "AudioMoth file name") if time.year in HEX_YEARS else None


def recording_position(path: str | Path) -> Position | None:
    """Where a recording was made, by the field `Loc Position` of its GUANO metadata."""
    position = guano_field(path, "Loc Position")
    if not isinstance(position, tuple) or len(position) != 2:
        return None
    latitude, longitude = position
    return Position(latitude, longitude) if -90 <= latitude <= 90 and -180 <= longitude <= 180 else None


def guano_field(path: str | Path, field: str):
    """The value of a field of a file's GUANO metadata, or None where there is none that can be understood."""
    import guano

    for line in guano_text(path).splitlines():
        if line.partition(":")[0].strip() == field:
            try:
                return guano.GuanoFile.from_string(line, strict=True).get(field)
            except (ValueError, TypeError):
                return None
    return None


def guano_text(path: str | Path) -> str:
    """The GUANO metadata of a WAV file, or nothing."""
    try:
        with open(path, "rb") as file:
            return _guano_chunk(file).decode("utf-8", "replace").replace("\0", "")
    except OSError:
        return ""


def _guano_chunk(file: BinaryIO) -> bytes:
    head = file.read(12)
    if head[:4] not in (b"RIFF", b"RF64") or head[8:] != b"WAVE":
        return b""
    long_data = 0
    while len(header := file.read(8)) == 8:
        name, size = struct.unpack("<4sI", header)
        if name == b"guan":
            return file.read(min(size, GUANO_BYTES))
        if name == b"ds64":  # of RF64: holds the size of the data, of which its own header says only that it is large
            content = file.read(size)
            long_data = struct.unpack_from("<Q", content, 8)[0] if len(content) >= 16 else 0
            continue
        if name == b"data" and size == 0xFFFFFFFF:
            size = long_data
        try:
            file.seek(size + size % 2, os.SEEK_CUR)
        except (OSError, ValueError):  # a size that no file has
            return b""
    return b""


def _guano_moment(path: str | Path) -> Moment | None:
    time = guano_field(path, "Timestamp")
    if not isinstance(time, datetime.datetime):
        return None
    try:
        offset = time.utcoffset()
    except ValueError:  # a zone of more than a day
        return None
    zone = datetime.timezone(offset) if offset is not None else None
    return Moment(time.date(), time.replace(tzinfo=zone), "GUANO")


def _comment_moment(path: str | Path) -> Moment | None:
    match = RECORDED_AT.search(recording_comment(path))
    if match is None:
        return None
    hour, minute, second, day, month, year, zone, half = match.groups()
    try:
        time = datetime.datetime(*map(int, (year, month, day, hour, minute, second)))  # type: ignore[arg-type]
        hours = int(zone or 0)
        minutes = int(half or 0) * (-1 if (zone or "").startswith("-") else 1)
        zoned = time.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=hours, minutes=minutes)))
    except ValueError:
        return None
    return Moment(zoned.date(), zoned, "WAV comment")


def recording_comment(path: str | Path) -> str:
    """The comment in a recording's header, or nothing."""
    try:
        with open(path, "rb") as file:
            if file.read(4) not in SNDFILE_HEADS:
                return ""
        with soundfile.SoundFile(os.open(path, os.O_RDONLY), closefd=True) as sound:
            return sound.comment
    except (OSError, soundfile.LibsndfileError):
        return ""
