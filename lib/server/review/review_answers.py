"""What the review page is answered with. Times are seconds from the start of the recording, frequencies Hz."""

from typing import Annotated, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from lib.curation.clip_index import Clip
from lib.curation.clip_places import clip_end

MOST_CHOSEN = 5000
"""Clips of a request."""
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


class ShownClip(BaseModel):
    """A clip of the index, see lib.curation.clip_index.Clip."""

    id: int
    origin: str
    recording: str
    class_name: str
    start: float
    end: float
    score: float | None
    outcome: str
    other: str
    decision: str
    new_class: str
    site: str
    date: str


class ShownPage(BaseModel):
    """Some clips of a list; total: of the list; serial: of the last change of decisions."""

    total: int
    serial: int
    clips: list[ShownClip]


class ShownSpan(BaseModel):
    """A clip near the one in view; low, high: where its box lies, 0 (lower edge) to 1, or None."""

    id: int
    origin: str
    class_name: str
    start: float
    end: float
    score: float | None
    decision: str
    low: float | None
    high: float | None


class Tick(BaseModel):
    """A frequency (Hz) of the axis, and its position, 0 (lower edge) to 1."""

    hertz: float
    at: float


class ClipView(BaseModel):
    """What is drawn over a clip's spectrogram.

    Args:
        seconds, sampling_rate: of the recording; seconds 0: unknown.
        spans: the clips in view.
        ticks: of the axis of frequencies.
        times, scores: middle and score of each window in view, of the clip's class.
    """

    clip: ShownClip
    seconds: float
    sampling_rate: int
    spans: list[ShownSpan]
    ticks: list[Tick]
    times: list[float]
    scores: list[float]


class ClassSummary(BaseModel):
    """Clips of a class: how many are annotated, found, and decided about.

    Of those found that are known to be right or wrong, `judged`, so many are `right`; of the annotations of analyzed
    recordings, `tested`, so many were `heard`.
    """

    name: str
    annotated: int
    found: int
    decided: int
    judged: int
    right: int
    tested: int
    heard: int


class ConfusionCell(BaseModel):
    """How many clips of an annotated class were found as another one; "": of none, as none."""

    annotated: str
    found: str
    n: int


class ScoreBand(BaseModel):
    """Found clips of a class with scores in `band` / 10 up to the next; judged and right: see ClassSummary."""

    class_name: str
    band: int
    n: int
    judged: int
    right: int


class Figure(BaseModel):
    """A figure of the last evaluation, with its 95 % interval as text."""

    title: str
    value: float
    interval: str


class Overview(BaseModel):
    """What the page starts with. by: whose decisions are proposed, empty: nobody's; colors: of spectrograms."""

    by: str
    classes: list[ClassSummary]
    confusion: list[ConfusionCell]
    bands: list[ScoreBand]
    figures: list[Figure]
    sites: list[str]
    problems: list[str]
    colors: list[str]
    context: float
    min_freq: float
    max_freq: float
    range_db: float
    n_found: int
    n_annotated: int
    n_decided: int
    has_embeddings: bool


class NewDecision(BaseModel):
    """What somebody decides about clips."""

    model_config = ConfigDict(extra="forbid")

    clips: list[int] = Field(min_length=1, max_length=MOST_CHOSEN)
    decision: str = Field(pattern="^(accept|reject|relabel|unsure)$")
    new_class: str = Field("", max_length=200)
    by: Name
    reason: str = Field("", max_length=500)


class Person(BaseModel):
    """Whose last decisions are to be taken back."""

    model_config = ConfigDict(extra="forbid")

    by: Name


class Similar(BaseModel):
    """What a search by example found: the origin of its clips, for a filter."""

    origin: str


class NewExport(BaseModel):
    """Which clips to write as files."""

    model_config = ConfigDict(extra="forbid")

    clips: list[int] = Field(min_length=1, max_length=MOST_CHOSEN)
    suffix: Literal["wav", "flac"] = "wav"
    context: float = Field(0.0, ge=0, le=30)


class ExportedClips(BaseModel):
    """How many clips were written, into which folder of review.export_dir, and why others were not."""

    n: int
    folder: str
    problems: list[str]


class MapPoint(BaseModel):
    """A clip on the map, at x and y, 0..1."""

    id: int
    x: float
    y: float
    class_name: str
    origin: str
    decision: str


def shown_clip(clip: Clip) -> ShownClip:
    return ShownClip(
        id=clip.id,
        origin=clip.origin,
        recording=clip.recording,
        class_name=clip.class_name,
        start=clip.start_time,
        end=clip_end(clip),
        score=clip.score,
        outcome=clip.outcome,
        other=clip.other_class,
        decision=clip.decision,
        new_class=clip.new_class,
        site=clip.site,
        date=clip.date,
    )


def summaries(counts: pd.DataFrame, bands: pd.DataFrame, classes: list[str]) -> list[ClassSummary]:
    """A summary for each class. counts, bands: as ClipIndex gives them."""
    is_found, is_annotated = counts["origin"] == "found", counts["origin"] == "annotated"
    is_known = counts["outcome"] != ""
    is_decided, is_heard = counts["decision"] != "", counts["outcome"] == "correct"

    def sums(rows: pd.Series) -> dict[str, int]:
        return counts[rows].groupby("class")["n"].sum().to_dict()

    columns = {
        "annotated": sums(is_annotated),
        "found": sums(is_found),
        "decided": sums(is_decided),
        "tested": sums(is_annotated & is_known),
        "heard": sums(is_annotated & is_heard),
        **{name: bands.groupby("class")[name].sum().to_dict() for name in ("judged", "right")},
    }
    return [
        ClassSummary(name=name, **{column: int(values.get(name, 0)) for column, values in columns.items()})
        for name in classes
    ]


def confusion(counts: pd.DataFrame) -> list[ConfusionCell]:
    """The cells that hold clips: found ones by the class that is annotated there, and annotations that were missed."""
    found, annotated = counts[counts["origin"] == "found"], counts[counts["origin"] == "annotated"]
    cells: dict[tuple[str, str], int] = {}
    for rows, place in (
        (found[found["outcome"] == "correct"], lambda row: (row.label, row.label)),
        (found[found["outcome"] == "confused"], lambda row: (row.other, row.label)),
        (found[found["outcome"] == "false positive"], lambda row: ("", row.label)),
        (annotated[annotated["outcome"] == "missed"], lambda row: (row.label, "")),
    ):
        for row in rows.rename(columns={"class": "label"}).itertuples():
            cells[place(row)] = cells.get(place(row), 0) + int(row.n)  # type: ignore[call-overload]
    return [ConfusionCell(annotated=each, found=other, n=n) for (each, other), n in sorted(cells.items())]
