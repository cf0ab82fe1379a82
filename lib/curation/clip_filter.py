"""Which clips of a clip index a list is about."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, func, select

from lib.curation.clip_tables import CHANGE, CLIP, RECORDING
from lib.results.results_tables import json_values


class ClipFilter(NamedTuple):
    """Which clips; "" and None: any.

    Args:
        origin: found, annotated, or what add_similar returned.
        class_name, outcome, other_class: see CLIP.
        min_score, max_score: of found clips.
        recording: glob on names of recordings.
        site: of the recording.
        first_date, last_date: in ISO 8601.
        decided: undecided, decided, or a decision.
        as_of: serial; decisions count as they were then, so that the pages of a list stay as they are while people
            decide.
        ids: of the clips.
    """

    origin: str = ""
    class_name: str = ""
    outcome: str = ""
    other_class: str = ""
    min_score: float = 0.0
    max_score: float = 1.0
    recording: str = ""
    site: str = ""
    first_date: str = ""
    last_date: str = ""
    decided: str = ""
    as_of: int | None = None
    ids: tuple[int, ...] = ()

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        for column, value in (
            (CLIP.c.Origin, self.origin),
            (CLIP.c.Class, self.class_name),
            (CLIP.c.Outcome, self.outcome),
            (CLIP.c.OtherClass, self.other_class),
            (RECORDING.c.Site, self.site),
        ):
            if value:
                yield column == value
        if self.ids:
            yield CLIP.c.ID.in_(select(json_values(self.ids).c.value))
        if self.min_score > 0 or self.max_score < 1:
            yield CLIP.c.Score.between(self.min_score, self.max_score)
        if self.recording:
            yield RECORDING.c.Name.op("GLOB")(self.recording)
        if self.first_date:
            yield RECORDING.c.Date >= self.first_date
        if self.last_date:
            yield and_(RECORDING.c.Date <= self.last_date, RECORDING.c.Date != "")
        if self.decided:
            then: Any = CLIP.c.Decision
            if self.as_of is not None:
                before = select(CHANGE.c.Before).where(CHANGE.c.ClipID == CLIP.c.ID, CHANGE.c.Serial > self.as_of)
                then = func.coalesce(before.order_by(CHANGE.c.Serial).limit(1).correlate(CLIP).scalar_subquery(), then)
            if self.decided == "decided":
                yield then != ""
            else:
                yield then == ("" if self.decided == "undecided" else self.decided)
