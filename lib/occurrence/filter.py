"""Which classes can occur where and when a recording was made."""

from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from lib.config import Infer
from lib.errors import Problem
from lib.occurrence import OccurrenceError
from lib.occurrence.pickle_provider import OccurrencePickleProvider
from lib.occurrence.season import date_from_name, week_of

CODES_SHOWN = 5


class OccurrenceFilter:
    """Tells the classes that occur at a place in the season of a recording.

    provider: occurrence values. region: a county code or the first parts of one; else latitude and longitude (degrees).
    week: 1..48, "date" (of the recording, from its name) or None (the whole year). min_occurrence: a class occurs where
    its smoothed value is above this. Raises OccurrenceError for a place that is not in the table.
    """

    def __init__(
        self,
        provider: OccurrencePickleProvider,
        region: str | None,
        latitude: float | None,
        longitude: float | None,
        week: int | Literal["date"] | None,
        min_occurrence: float,
    ):
        self.value = partial(provider.occurrence_value, region_code=region, latitude=latitude, longitude=longitude)
        self.week = week
        self.min_occurrence = min_occurrence
        self._reported: set[str] = set()
        _check_place(provider, region, latitude, longitude)

    def allowed(self, class_names: list[str], recording: str) -> tuple[np.ndarray, list[Problem]]:
        """Which of the classes occur at the place in the season of a recording (name without suffix).

        Returns bool (n_classes,) and problems: a class that is not in the table is kept, and named the first time; for
        a recording without a date in its name the whole year counts.
        """
        week, problems = self._week_of(recording)
        keep = np.ones(len(class_names), dtype=bool)
        for index, name in enumerate(class_names):
            _, _, value = self.value(name, week_num=week)
            if value is not None:
                keep[index] = value > self.min_occurrence
            elif name not in self._reported:
                self._reported.add(name)
                action = "kept everywhere; add it to the table or correct its name there"
                problems.append(Problem(f"class {name}", "not in the occurrence table", action, lost=False))
        return keep, problems

    def _week_of(self, recording: str) -> tuple[int | None, list[Problem]]:
        if self.week != "date":
            return self.week, []
        date = date_from_name(recording)
        if date is not None:
            return week_of(date), []
        action = "the whole year was taken; name it like 20240512_053000, or set infer.week"
        return None, [Problem(recording, "no date in its name", action, lost=False)]


def occurrence_filter(infer: Infer, pickle_path: str | Path | None) -> OccurrenceFilter | None:
    """The filter that the settings ask for, or None if they name no place."""
    if infer.region is None and infer.latitude is None:
        return None
    provider = OccurrencePickleProvider(pickle_path)
    return OccurrenceFilter(provider, infer.region, infer.latitude, infer.longitude, infer.week, infer.min_occurrence)


def _check_place(
    provider: OccurrencePickleProvider, region: str | None, latitude: float | None, longitude: float | None
) -> None:
    place = f"region {region}" if region is not None else f"latitude {latitude}, longitude {longitude}"
    if not provider.counties:
        raise OccurrenceError(f"{place}: no occurrences are configured; set occurrences.path, or unset the place")
    found, _, _ = provider.occurrence_value("", region_code=region, latitude=latitude, longitude=longitude)
    if not found:
        codes = ", ".join(county.code for county in provider.counties[:CODES_SHOWN])
        more = ", ..." if len(provider.counties) > CODES_SHOWN else ""
        raise OccurrenceError(f"{place}: not in the occurrence table; known counties: {codes}{more}")
