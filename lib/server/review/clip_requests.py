"""Which clips a request of the review page is about."""

from typing import Annotated

from fastapi import Query

from lib.curation.clip_filter import ClipFilter

MOST_CLIPS = 500
"""Of a page of a list."""
Short = Annotated[str, Query(max_length=300)]


def clip_filter(
    origin: Annotated[str, Query(pattern="^(found|annotated|similar [0-9]+|)$")] = "",
    class_name: Short = "",
    outcome: Short = "",
    other: Short = "",
    min_score: Annotated[float, Query(ge=0, le=1)] = 0.0,
    max_score: Annotated[float, Query(ge=0, le=1)] = 1.0,
    recording: Short = "",
    site: Short = "",
    first_date: Short = "",
    last_date: Short = "",
    decided: Annotated[str, Query(pattern="^(undecided|decided|accept|reject|relabel|unsure|)$")] = "",
    as_of: Annotated[int | None, Query(ge=0, le=2**40)] = None,
    ids: Annotated[str, Query(pattern="^([0-9]{1,16}(,[0-9]{1,16}){0,499})?$")] = "",
) -> ClipFilter:
    places = recording, site, first_date, last_date
    numbers = tuple(int(number) for number in ids.split(",") if number)
    return ClipFilter(origin, class_name, outcome, other, min_score, max_score, *places, decided, as_of, numbers)
