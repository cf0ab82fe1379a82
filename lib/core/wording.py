"""Counts, seconds and lists of names as people read them."""

from collections.abc import Sequence


def counted(n: int, noun: str, plural: str = "") -> str:
    """A number and what it counts; plural: where that is not the noun and an s.

    >>> counted(1, "recording"), counted(12000, "recording"), counted(2, "class", "classes")
    ('1 recording', '12,000 recordings', '2 classes')
    """
    return f"{n:,} {noun if n == 1 else plural or f'{noun}s'}"


def seconds_text(seconds: float) -> str:
    """Seconds to microseconds, without zeros at the end.

    >>> seconds_text(86398.25), seconds_text(3.0), seconds_text(0.1 + 0.2), seconds_text(float("inf"))
    ('86398.25', '3', '0.3', 'inf')
    """
    text = f"{seconds:.6f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def shortened(names: Sequence[str], limit: int = 8) -> str:
    """Names, separated by commas; if there are more than the limit, the first of them and how many follow.

    >>> shortened(["r1", "r2", "r3"], 2)
    'r1, r2 and 1 more'
    """
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
