"""Which classes can occur where and when a recording was made, and why each is kept, lowered or dropped.

Place and season of a recording come, each for itself, from the first of these that tells it:

- the recordings table (see lib.occurrence.recordings);
- the settings: infer.region, or infer.latitude and infer.longitude; infer.week, if it is a number;
- the recording itself: the place from its GUANO metadata, with infer.region = guano or beside a recordings table; the
  date from its name, its GUANO metadata or its comment, with infer.week = date (see lib.audio.metadata).

A class occurs where its smoothed value there and then is above infer.min_occurrence. Without a week the largest value
of the year counts. Where the place is not known, or the class is not in the occurrence table, the class is kept.
"""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from lib.audio.metadata import Position, recording_moment, recording_position
from lib.config import Infer
from lib.digests import digest_code, digest_file, digest_of
from lib.errors import Problem
from lib.occurrence import OccurrenceError
from lib.occurrence.pickle_provider import OccurrencePickleProvider
from lib.occurrence.recordings import Entry, RecordingsTable
from lib.occurrence.season import week_of

CODES_SHOWN = 5
FROM_GUANO = "guano"
"""As infer.region: each recording's own place."""

CODE = (
    "audio/metadata.py",
    *(f"occurrence/{name}.py" for name in ("filter", "pickle_provider", "places", "recordings", "season")),
)
"""What the answers are made by, besides settings and data."""


class Reason(NamedTuple):
    """Why a class was kept or not in a recording.

    value: its occurrence, 0..1, None where that is not known. region: code of the county or region that was asked, None
    where the place is not known. week: 1..48, None for the whole year.
    """

    recording: str
    name: str
    decision: Literal["kept", "lowered", "dropped"]
    value: float | None
    region: str | None
    week: int | None
    why: str


REASON_COLUMNS = list(Reason._fields)


class _Place(NamedTuple):
    """A region or county in the occurrence table, or None; what told it; and the point that lies in the county."""

    region: str | None
    source: str
    point: Position | None = None


class OccurrenceFilter:
    """Tells the classes that occur at the place and in the season of a recording.

    provider: occurrence values. region: a county code, the first parts of one, or FROM_GUANO; else latitude and
    longitude (degrees). week: 1..48, "date" (of the recording) or None (the whole year). min_occurrence: a class occurs
    where its smoothed value is above this. factor: of the scores of a class that does not occur; 0: it is dropped.
    table: what is known of single recordings. digest: of all that the answers depend on besides the recordings and the
    rows of the table. Raises OccurrenceError for a place in the arguments that is not in the occurrence table.
    """

    def __init__(
        self,
        provider: OccurrencePickleProvider,
        region: str | None,
        latitude: float | None,
        longitude: float | None,
        week: int | Literal["date"] | None,
        min_occurrence: float,
        factor: float = 0.0,
        table: RecordingsTable | None = None,
        digest: str = "",
    ):
        self.provider = provider
        self.week = week
        self.min_occurrence = min_occurrence
        self.factor = factor
        self.table = table
        self.digest = digest
        self._reported: set[str] = set()
        self._configured = _configured_place(provider, region, latitude, longitude)

    def factors(
        self, class_names: list[str], recording: str, path: Path
    ) -> tuple[np.ndarray, list[Reason], list[Problem]]:
        """What the scores of each class are to be multiplied by in a recording, and why.

        recording: its name. path: its file, of which headers are read if need be. Returns float32 (n_classes,): 1 for a
        class that occurs, else the filter's factor, where 0 means that the class is dropped; a reason for each class;
        and problems: a class that is not in the table (the first time), a recording whose place or date is not known.
        """
        entry = self._entry(recording, path)
        problems = list(entry.problems)
        place, place_problems = self._place(recording, path, entry)
        week, week_source, week_problems = self._week(recording, path, entry)
        problems += place_problems + week_problems
        season = f"week {week} ({week_source})" if week is not None else "the whole year"
        factors = np.ones(len(class_names), dtype=np.float32)
        reasons = []
        for index, name in enumerate(class_names):
            decision: Literal["kept", "lowered", "dropped"] = "kept"
            value = self._value(name, place, week)
            if place.region is None:
                why = "the place is not known"
            elif value is None:
                why = "not in the occurrence table"
                problems += self._unknown_class(name)
            else:
                occurs = value > self.min_occurrence
                relation = "above" if occurs else "not above"
                why = (
                    f"occurrence {value:.4g} is {relation} {self.min_occurrence:g} "
                    f"in {place.region} ({place.source}), {season}"
                )
                if not occurs:
                    decision = "lowered" if self.factor else "dropped"
                    factors[index] = self.factor
            reasons.append(Reason(recording, name, decision, value, place.region, week, why))
        return factors, reasons, problems

    def key(self, recording: str, path: Path) -> str:
        """Digest of what `factors` depends on besides the class names and the content of the recording."""
        entry = self._entry(recording, path)
        return digest_of([self.digest, recording, entry.region, entry.position, str(entry.date)])

    def _entry(self, recording: str, path: Path) -> Entry:
        return self.table.entry(recording, path.name) if self.table else Entry()

    def _value(self, name: str, place: _Place, week: int | None) -> float | None:
        if place.region is None:
            return None
        week_num = None if week is None else week - 1
        if place.point is None:
            return self.provider.occurrence_value(name, region_code=place.region, week_num=week_num)[2]
        return self.provider.occurrence_value(name, True, None, *place.point, week_num)[2]

    def _place(self, recording: str, path: Path, entry: Entry) -> tuple[_Place, list[Problem]]:
        kept = "all classes were kept"
        if entry.region is not None:
            if self.provider.find_counties(entry.region):
                return _Place(entry.region, "table"), []
            action = f"{kept}; correct infer.recordings_table"
            return _Place(None, "table"), [Problem(recording, f"no county is in region {entry.region}", action, False)]
        source, position = "table", entry.position
        if position is None and self._configured is not None:
            return self._configured, []
        if position is None:
            source, position = "GUANO", recording_position(path)
        if position is None:
            action = f"{kept}; add it to infer.recordings_table, or set infer.region"
            return _Place(None, ""), [Problem(recording, "its place is not known", action, lost=False)]
        county = self.provider.find_county(*position)
        if county is not None:
            return _Place(county.code, source, position), []
        where = f"latitude {position.latitude:g}, longitude {position.longitude:g} ({source}) is in no county"
        action = f"{kept}; add the county to the occurrence table, or set infer.region"
        return _Place(None, source), [Problem(recording, where, action, lost=False)]

    def _week(self, recording: str, path: Path, entry: Entry) -> tuple[int | None, str, list[Problem]]:
        if entry.date is not None:
            return week_of(entry.date), "table", []
        if self.week != "date":
            return self.week, "setting", []
        moment = recording_moment(path, recording)
        if moment is not None:
            return week_of(moment.date), moment.source, []
        action = "the whole year was taken; name it like 20240512_053000, or set infer.week"
        fault = "no date in its name, its GUANO metadata or its comment"
        return None, "", [Problem(recording, fault, action, lost=False)]

    def _unknown_class(self, name: str) -> list[Problem]:
        if name in self._reported:
            return []
        self._reported.add(name)
        action = "kept everywhere; add it to the table or correct its name there"
        return [Problem(f"class {name}", "not in the occurrence table", action, lost=False)]


def occurrence_filter(infer: Infer, pickle_path: str | Path | None) -> OccurrenceFilter | None:
    """The filter that the settings ask for, or None if they name no place. Raises EarshotError."""
    if infer.region is None and infer.latitude is None and infer.recordings_table is None:
        return None
    provider = OccurrencePickleProvider(pickle_path)
    table = RecordingsTable(infer.recordings_table) if infer.recordings_table is not None else None
    settings = infer.region, infer.latitude, infer.longitude, infer.week, infer.min_occurrence, infer.occurrence_factor
    pickle_digest = digest_file("data/occurrences.pkl" if pickle_path is None else pickle_path)
    digest = digest_of([settings, table is not None, pickle_digest, digest_code(*CODE)])
    return OccurrenceFilter(provider, *settings, table, digest)


def _configured_place(
    provider: OccurrencePickleProvider, region: str | None, latitude: float | None, longitude: float | None
) -> _Place | None:
    """The place that the settings name for all recordings, if they do. Raises OccurrenceError."""
    if not provider.counties:
        what = f"region {region}" if region is not None else f"latitude {latitude}, longitude {longitude}"
        what = what if region is not None or latitude is not None else "infer.recordings_table"
        raise OccurrenceError(f"{what}: no occurrences are configured; set occurrences.path, or unset the place")
    if region == FROM_GUANO or (region is None and (latitude is None or longitude is None)):
        return None
    if region is not None:
        place = _Place(region, "setting") if provider.find_counties(region) else None
        what = f"region {region}"
    else:
        point = Position(latitude, longitude)  # type: ignore[arg-type]
        county = provider.find_county(*point)
        place = _Place(county.code, "setting", point) if county else None
        what = f"latitude {latitude}, longitude {longitude}"
    if place is None:
        codes = ", ".join(county.code for county in provider.counties[:CODES_SHOWN])
        more = ", ..." if len(provider.counties) > CODES_SHOWN else ""
        raise OccurrenceError(f"{what}: not in the occurrence table; known counties: {codes}{more}")
    return place
