"""Weeks of the occurrence calendar, in which each month has four, and the dates that recorders write in file names."""

import datetime
import re

import numpy as np

WEEKS = 48

# Year, month and day with the same separator or none; digits may follow only as the time of day, HHMM or HHMMSS.
DATE = re.compile(r"(?<!\d)((?:19|20)\d\d)([-_]?)(\d\d)\2(\d\d)(?=\D|$|\d{4}(?!\d)|\d{6}(?!\d))", re.ASCII)


def week_of(date: datetime.date) -> int:
    """Week 1..48 of a date: days 1-7, 8-14, 15-21 and 22 to the end are the four weeks of each month."""
    return (date.month - 1) * 4 + min((date.day - 1) // 7, 3) + 1


def date_from_name(stem: str) -> datetime.date | None:
    """The first possible date (1900..2099) in a file name such as SMM01234_20240512_053000 or 2024-05-12, else None."""
    for year, _, month, day in DATE.findall(stem):
        try:
            return datetime.date(int(year), int(month), int(day))
        except ValueError:
            continue
    return None


def smooth(values: np.ndarray) -> np.ndarray:
    """For each week the maximum of it and the weeks beside it; weeks 48 and 1 are neighbours.

    values: float (..., 48). Returns an array of that shape.
    """
    return np.maximum(values, np.maximum(np.roll(values, 1, axis=-1), np.roll(values, -1, axis=-1)))
