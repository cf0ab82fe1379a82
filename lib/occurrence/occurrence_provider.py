"""Questions to an occurrence database: values of counties, and averages and maxima of groups of them."""

import numpy as np

from lib.core.errors import EarshotError
from lib.occurrence.counties import CountyMap
from lib.occurrence.occurrence_database import OccurrenceDatabase
from lib.occurrence.season import WEEKS, smooth


class OccurrenceDataProvider(CountyMap):
    """Data access layer on top of OccurrenceDatabase, which also finds counties; see CountyMap.

    If you insert or delete records after creating an instance of this, you must call the refresh method.
    """

    def __init__(self, db: OccurrenceDatabase):
        self.db = db
        self.refresh()

    def refresh(self) -> None:
        """Cache database info for quick access."""
        super().__init__(self.db.get_all_counties())
        self._codes = {county.code for county in self.counties}
        self.classes = self.db.get_all_classes()
        self._values = {(code, name): values for code, name, values in self.db.get_all_values()}

    def occurrences(self, county_code: str, class_name: str) -> list[float]:
        """Return list of 48 occurrence values (0..1) for given county code and class name.

        The list is empty where the county has no values of that class. Raises EarshotError for an unknown county.
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
        With area_weight, each county is weighted by the area of its box on the sphere (`County.area`). Raises
        EarshotError if no county matches, and with area_weight if the box of one is not known.
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
            raise EarshotError(f"county {county_code}", f"not in {self.db.db_path}", "give the code of one that is")
        return self._values.get((county_code, class_name), np.empty(0))

    def _group(self, county_prefix: str, class_name: str, area_weight: bool) -> tuple[np.ndarray, np.ndarray]:
        """Values (n_counties, 48) and weights (n_counties,) of the counties with a prefix."""
        counties = self.find_counties(county_prefix)
        if not counties:
            where = f"no county of {self.db.db_path} is in it"
            raise EarshotError(f"region {county_prefix}", where, "give another code")
        absent = np.zeros(WEEKS)
        weeks = np.array([self._values.get((county.code, class_name), absent) for county in counties])
        areas = np.array([county.area for county in counties])
        if area_weight and np.isnan(areas).any():
            code = counties[int(np.isnan(areas).argmax())].code
            raise EarshotError(f"county {code}", "has no box, so no area", "add its box, or do without area_weight")
        weighted = area_weight and areas.sum() > 0
        return weeks, areas if weighted else np.ones(len(counties))
