"""Questions to an occurrence database: values of counties, and averages and maxima of groups of them."""

import numpy as np

from lib.occurrence import OccurrenceError
from lib.occurrence.database import OccurrenceDatabase
from lib.occurrence.places import County, CountyMap, counties_of
from lib.occurrence.season import WEEKS, smooth


class OccurrenceDataProvider:
    """Data access layer on top of OccurrenceDatabase.

    If you insert or delete records after creating an instance of this, you must call the refresh method.

    db: the database object.
    """

    def __init__(self, db: OccurrenceDatabase):
        self.db = db
        self.refresh()

    def refresh(self) -> None:
        """Cache database info for quick access."""
        self.counties = self.db.get_all_counties()
        self._map = CountyMap(self.counties)
        self.classes = self.db.get_all_classes()
        self._values = {(code, name): values for code, name, values in self.db.get_all_values()}
        self._codes = {county.code for county in self.counties}

    def find_county(self, latitude: float, longitude: float) -> County | None:
        """Return county info for a given latitude/longitude (degrees), or None if not found.

        Borders belong to the box. Where boxes overlap, the smallest county is returned, and of equal ones the first by
        code.
        """
        return self._map.at(latitude, longitude)

    def find_counties(self, region_code: str) -> list[County]:
        """Return list of counties for a given region code, e.g. "CA", "CA-ON" or "CA-ON-OT", sorted by ID.

        The region code must be equal to whole parts of the county code: CA-ON matches CA-ON and CA-ON-OT, not CA-ONX.
        """
        return counties_of(self.counties, region_code)

    def occurrences(self, county_code: str, class_name: str) -> list[float]:
        """Return list of 48 occurrence values (0..1) for given county code and class name.

        The list is empty where the county has no values of that class. Raises OccurrenceError for an unknown county.
        """
        return list(self._weeks(county_code, class_name).tolist())

    def smoothed_occurrences(self, county_code: str, class_name: str) -> list[float]:
        """Return list of 48 smoothed occurrence values for given county code and class name.

        For each week, return the maximum of it and the adjacent weeks; weeks 48 and 1 are adjacent. Empty and errors
        as for `occurrences`.
        """
        return list(smooth(self._weeks(county_code, class_name)).tolist())

    def average_occurrences(self, county_prefix: str, class_name: str, area_weight: bool = False) -> np.ndarray:
        """Return the average occurrence values, float64 (48,), of the counties with a given code prefix.

        This is used for regional groupings, e.g. county_prefix = "CA" returns the average for Canada and "CA-ON"
        returns the average for Ontario. Prefixes match as in `find_counties`. Counties without the class count as 0.
        area_weight: weight each county by the area of its box on the sphere (`County.area`). Raises OccurrenceError if
        no county matches, and with area_weight if the box of one is not known.
        """
        weeks, weights = self._group(county_prefix, class_name, area_weight)
        return np.average(weeks, axis=0, weights=weights)

    def max_occurrences(self, county_prefix: str, class_name: str, area_weight: bool = False) -> np.float64:
        """Return the average over counties of each county's maximum occurrence value; arguments as above.

        This is not quite the same as average_occurrences.max(), since maximum values in each county don't occur in the
        same week.
        """
        weeks, weights = self._group(county_prefix, class_name, area_weight)
        return np.average(weeks.max(axis=1), weights=weights)

    def _weeks(self, county_code: str, class_name: str) -> np.ndarray:
        if county_code not in self._codes:
            raise OccurrenceError(f"county {county_code}: not in {self.db.db_path}; give the code of one that is")
        return self._values.get((county_code, class_name), np.empty(0))

    def _group(self, county_prefix: str, class_name: str, area_weight: bool) -> tuple[np.ndarray, np.ndarray]:
        """Values (n_counties, 48) and weights (n_counties,) of the counties with a prefix."""
        counties = self.find_counties(county_prefix)
        if not counties:
            raise OccurrenceError(f"region {county_prefix}: no county of {self.db.db_path} is in it; give another code")
        absent = np.zeros(WEEKS)
        weeks = np.array([self._values.get((county.code, class_name), absent) for county in counties])
        areas = np.array([county.area for county in counties])
        if area_weight and np.isnan(areas).any():
            code = counties[int(np.isnan(areas).argmax())].code
            raise OccurrenceError(f"county {code}: has no box, so no area; add its box, or do without area_weight")
        weighted = area_weight and areas.sum() > 0
        return weeks, areas if weighted else np.ones(len(counties))
