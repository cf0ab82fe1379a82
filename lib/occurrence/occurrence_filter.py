"""Which classes can occur where and when a recording was made, and why each is kept, lowered or dropped.

Place and season of a recording come, independently, from the first of these sources that has it:

- the recordings table (see lib.occurrence.recordings_table);
- the settings: infer.region, or infer.latitude and infer.longitude; infer.week, if it is a number;
- the recording itself: the place from its GUANO metadata, with infer.region = guano or beside a recordings table; the
  date from its name, its GUANO metadata or its comment, with infer.week = date (see lib.sound.metadata).

A class occurs where its smoothed value there and then is above infer.min_occurrence. Without a week the largest value
of the year counts. Where the place is not known, or the class is not in the occurrence table, the class is kept.
"""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from lib.config.schema import InferSettings
from lib.core.code_digest import digest_code
from lib.core.digests import digest_file, digest_of
from lib.core.errors import EarshotError, Problem
from lib.core.wording import shortened
from lib.occurrence.occurrence_pickle_provider import OccurrencePickleProvider
from lib.occurrence.recordings_table import RecordingEntry, RecordingsTable
from lib.occurrence.season import week_of
from lib.sound.metadata import Position, recording_moment, recording_position

CODES_SHOWN = 5
FROM_GUANO = "guano"
"""As infer.region: each recording's own place."""
UNKNOWN = "not in the occurrence table"
Decision = Literal["kept", "lowered", "dropped"]


class Reason(NamedTuple):
    """Why a class was kept or not in a recording.

    Args:
        name: of the class.
        value: its occurrence, 0..1; None if it is not known.
        region: code of the county or region that was looked up; None if the place is not known.
        week: 1..48; None: the whole year.
    """

    recording: str
    name: str
    decision: Decision
    value: float | None
    region: str | None
    week: int | None
    why: str


class _Place(NamedTuple):
    """A region or county in the occurrence table; what told it; and the point, if it was one, in the county."""

    region: str
    source: str
    point: Position | None = None


class OccurrenceFilter:
    """Tells the classes that occur at the place and in the season of a recording.

    Args:
        provider: occurrence values.
        infer: settings, which name the place and the season.
        table: what is known of single recordings.
        digest: of all that the answers depend on besides the recordings and the rows of the table.

    Raises EarshotError for a place in the settings that is not in the occurrence table.
    """

    def __init__(
        self,
        provider: OccurrencePickleProvider,
        infer: InferSettings,
        table: RecordingsTable | None = None,
        digest: str = "",
    ):
        self.provider, self.infer, self.table, self.digest = provider, infer, table, digest
        self._configured = self._configured_place()

    def factors(
        self, class_names: list[str], recording: str, path: Path
    ) -> tuple[np.ndarray, list[Reason], list[Problem]]:
        """Factors for the scores of each class in a recording, and the reasons for them.

        Args:
            recording: its name.
            path: its file, of which headers are read if need be.

        Returns float32 (n_classes,): 1 for a class that occurs, else the filter's factor, where 0 means that the class
        is dropped; a reason for each class; and a problem for each fault in the recording's row of the table, and if
        its place or date is not known.
        """
        entry = self._entry(recording, path)
        place, place_problems = self._place(recording, path, entry)
        week, week_source, week_problems = self._week(recording, path, entry)
        problems = [*entry.problems, *place_problems, *week_problems]
        season = f"week {week} ({week_source})" if week is not None else "the whole year"
        reasons = []
        for name in class_names:
            decision: Decision = "kept"
            value = None if place is None else self._value(name, place, week)
            if place is None:
                why = "the place is not known"
            elif value is None:
                why = UNKNOWN
            else:
                least = self.infer.min_occurrence
                if value <= least:
                    decision = "lowered" if self.infer.occurrence_factor else "dropped"
                relation = "above" if value > least else "not above"
                why = f"occurrence {value:.4g} is {relation} {least:g} in {place.region} ({place.source}), {season}"
            reasons.append(Reason(recording, name, decision, value, place and place.region, week, why))
        factors = [1 if reason.decision == "kept" else self.infer.occurrence_factor for reason in reasons]
        return np.array(factors, np.float32), reasons, problems

    def unknown_classes(self, class_names: list[str]) -> list[Problem]:
        """A problem for each class that is not in the occurrence table."""
        known, remedy = set(self.provider.class_names), "kept everywhere; add it to the table or correct its name there"
        return [Problem(f"class {name}", UNKNOWN, remedy, lost=False) for name in class_names if name not in known]

    def key(self, recording: str, path: Path) -> str:
        """Digest of what `factors` depends on besides the class names and the content of the recording."""
        entry = self._entry(recording, path)
        return digest_of([self.digest, recording, entry.region, entry.position, str(entry.date)])

    def _entry(self, recording: str, path: Path) -> RecordingEntry:
        return self.table.entry(recording, path.name) if self.table else RecordingEntry()

    def _value(self, name: str, place: _Place, week: int | None) -> float | None:
        week_num = None if week is None else week - 1
        if place.point is None:
            return self.provider.occurrence_value(name, region_code=place.region, week_num=week_num)[2]
        return self.provider.occurrence_value(name, True, None, *place.point, week_num)[2]

    def _place(self, recording: str, path: Path, entry: RecordingEntry) -> tuple[_Place | None, list[Problem]]:
        if entry.region is not None:
            if self.provider.find_counties(entry.region):
                return _Place(entry.region, "table"), []
            fault, remedy = f"no county is in region {entry.region}", "correct infer.recordings_table"
        elif entry.position is None and self._configured is not None:
            return self._configured, []
        else:
            position, source = entry.position or recording_position(path), "table" if entry.position else "GUANO"
            if position is None:
                fault, remedy = "its place is not known", "add it to infer.recordings_table, or set infer.region"
            elif (county := self.provider.find_county(*position)) is not None:
                return _Place(county.code, source, position), []
            else:
                point = f"latitude {position.latitude:g}, longitude {position.longitude:g} ({source})"
                fault, remedy = (
                    f"{point} is in no county",
                    "add the county to the occurrence table, or set infer.region",
                )
        return None, [Problem(recording, fault, f"all classes were kept; {remedy}", lost=False)]

    def _week(self, recording: str, path: Path, entry: RecordingEntry) -> tuple[int | None, str, list[Problem]]:
        if entry.date is not None:
            return week_of(entry.date), "table", []
        if self.infer.week != "date":
            return self.infer.week, "setting", []
        moment = recording_moment(path, recording)
        if moment is not None:
            return week_of(moment.date), moment.source, []
        fault = "no date in its name, its GUANO metadata or its comment"
        remedy = "the whole year was taken; name it like 20240512_053000, or set infer.week"
        return None, "", [Problem(recording, fault, remedy, lost=False)]

    def _configured_place(self) -> _Place | None:
        """The place that the settings name for all recordings, if they do."""
        region, latitude, longitude = self.infer.region, self.infer.latitude, self.infer.longitude
        if region is not None:
            setting = f"region {region}"
        elif latitude is not None:
            setting = f"latitude {latitude}, longitude {longitude}"
        else:
            setting = "infer.recordings_table"
        counties = self.provider.counties
        if not counties:
            raise EarshotError(setting, "no occurrences are configured", "set occurrences.path, or unset the place")
        if latitude is not None and longitude is not None:
            point = Position(latitude, longitude)
            if county := self.provider.find_county(*point):
                return _Place(county.code, "setting", point)
        elif region is None or region == FROM_GUANO:
            return None
        elif self.provider.find_counties(region):
            return _Place(region, "setting")
        codes = shortened([county.code for county in counties], CODES_SHOWN)
        raise EarshotError(setting, UNKNOWN, f"known counties: {codes}")


def occurrence_filter(infer: InferSettings, pickle_path: str | Path | None) -> OccurrenceFilter | None:
    """The filter that the settings ask for, or None if they name no place. Raises EarshotError."""
    if infer.region is None and infer.latitude is None and infer.recordings_table is None:
        return None
    provider = OccurrencePickleProvider(pickle_path)
    table = RecordingsTable(infer.recordings_table) if infer.recordings_table is not None else None
    settings = infer.region, infer.latitude, infer.longitude, infer.week, infer.min_occurrence, infer.occurrence_factor
    pickle_digest = digest_file("data/occurrences.pkl" if pickle_path is None else pickle_path)
    digest = digest_of([settings, table is not None, pickle_digest, digest_code(OccurrenceFilter.factors)])
    return OccurrenceFilter(provider, infer, table, digest)
