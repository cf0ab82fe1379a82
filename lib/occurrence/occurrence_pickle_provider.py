"""Fast questions to an occurrence pickle, for use during inference."""

import pickle
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from pickletools import genops

import numpy as np

from lib.core.errors import EarshotError
from lib.core.files import read_bytes
from lib.occurrence.counties import County, CountyMap, box_fault
from lib.occurrence.season import WEEKS, smooth

FORMAT = "occurrences 2"
REGIONS_REMEMBERED, YEARS_REMEMBERED = 2**8, 2**14
"""Regions with their counties, and years of a class in a region: 400 bytes each."""
PLAIN = frozenset(
    (
        *("PROTO", "FRAME", "STOP", "MARK", "MEMOIZE", "BINGET", "LONG_BINGET", "NONE", "NEWTRUE", "NEWFALSE"),
        *("BININT", "BININT1", "BININT2", "BINFLOAT", "SHORT_BINUNICODE", "BINUNICODE"),
        *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "EMPTY_DICT", "SETITEM", "SETITEMS"),
        *("EMPTY_LIST", "APPEND", "APPENDS"),
    )
)
"""What a pickle of plain data consists of. Others call functions, or take memory for numbers that anyone can write."""
REMEDY = "run python -m stages.pickle_occurrences"


class OccurrencePickleProvider(CountyMap):
    """Occurrence values by class, place and week, from a pickle that OccurrencePickler made; see also CountyMap.

    Its counties and class_names are sorted by ID in the database. pickle_path: None for data/occurrences.pkl. Raises
    EarshotError for a file that is missing or no such pickle.
    """

    def __init__(self, pickle_path: str | Path | None = None):
        path = Path("data/occurrences.pkl" if pickle_path is None else pickle_path)
        content = _load_plain(path)
        try:
            super().__init__(map(_checked, content["counties"]))
            self.class_names = [str(name) for name in content["classes"]]
            pairs = np.frombuffer(content["pairs"], "<i4").reshape(-1, 2).tolist()
            self._weeks = np.frombuffer(content["weeks"], "<f8").reshape(len(pairs), WEEKS).astype(np.float64)
            if not ((self._weeks >= 0) & (self._weeks <= 1)).all():
                raise ValueError("values outside of 0..1")
            self._rows: dict[str, dict[str, int]] = {name: {} for name in self.class_names}
            for row, (county, class_) in enumerate(pairs):
                self._rows[self.class_names[class_]][self.counties[county].code] = row
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as error:
            fault = f"a damaged occurrence pickle ({type(error).__name__})"
            raise EarshotError(path, fault, REMEDY) from None
        self._smoothed = smooth(self._weeks)
        self._largest = self._weeks.max(axis=1, initial=0)  # smoothing does not change it
        self._counties_of = lru_cache(REGIONS_REMEMBERED)(self.find_counties)
        self._year = lru_cache(YEARS_REMEMBERED)(self._average_year)

    def occurrence_value(
        self,
        class_name: str,
        smoothed: bool = True,
        region_code: str | None = None,
        latitude: float | None = None,
        longitude: float | None = None,
        week_num: int | None = None,
    ) -> tuple[bool, bool, float | None]:
        """Return the occurrence value for a class, a place and optionally a week.

        The value of a week is the average across those counties of the place that have values of the class. Without a
        week it is the maximum over the weeks of that average.

        Args:
            smoothed: take for each county and week the maximum of it and the adjacent weeks, before averaging.
            region_code: region code; it goes before latitude and longitude.
            latitude, longitude: degrees, which must be given if region_code is not.
            week_num: 0..47, the index of a week in the year: `lib.occurrence.season.week_of` minus 1.

        Returns location_found (True iff the place maps to a known county or counties), class_found (True iff class_name
        is in the occurrence database) and occurrence (0..1; None unless both were found; 0.0 where the class is known
        but has no values at the place). Raises EarshotError without a place and for a week outside 0..47.
        """
        if week_num is not None and not 0 <= week_num < WEEKS:
            raise EarshotError(f"week_num {week_num}", f"not within 0..{WEEKS - 1}", "give one of four weeks a month")
        class_found = class_name in self._rows
        counties = self._counties_at(region_code, latitude, longitude)
        if not counties or not class_found:
            return bool(counties), class_found, None
        if region_code is not None and len(counties) > 1:
            year = self._year(region_code, class_name, smoothed)
            return True, True, (year.max() if week_num is None else year[week_num]).item()
        row = self._rows[class_name].get(counties[0].code)
        if row is None:
            return True, True, 0.0
        weeks = self._smoothed if smoothed else self._weeks
        return True, True, (self._largest[row] if week_num is None else weeks[row, week_num]).item()

    def _counties_at(self, region_code: str | None, latitude: float | None, longitude: float | None) -> list[County]:
        """The counties of a place; none if it is not known."""
        if region_code is not None:
            return self._counties_of(region_code)
        if latitude is None or longitude is None:
            raise EarshotError("", "no place was given", "give region_code, or latitude and longitude")
        county = self.find_county(latitude, longitude)
        return [] if county is None else [county]

    def _average_year(self, region_code: str, class_name: str, smoothed: bool) -> np.ndarray:
        """The values of the 48 weeks, float64 (48,), averaged over the counties of a region that have any; else 0.

        It takes longer the more counties there are, 1.5 ms for 3,000; recent answers are cached.
        """
        counties, rows = self._counties_of(region_code), self._rows[class_name]
        present = [rows[county.code] for county in counties if county.code in rows]
        return (self._smoothed if smoothed else self._weeks)[present].sum(axis=0) / max(len(present), 1)


def _checked(fields: list) -> County:
    county = County(*fields)
    texts, edges = (county.name, county.code), (county.min_x, county.max_x, county.min_y, county.max_y)
    if not all(isinstance(text, str) for text in texts) or type(county.id) is not int:
        raise TypeError("a county without a name or code")
    if box_fault(*edges):
        raise ValueError("a county with an impossible box")
    return county


def _load_plain(path: str | Path) -> dict:
    """Load a pickle that OccurrencePickler made. Raises EarshotError for any other, without running its code."""
    try:
        data = read_bytes(path)
        if other := next((code.name for code, _, _ in genops(data) if code.name not in PLAIN), None):
            raise pickle.UnpicklingError(f"it asks for {other}; only plain data is admitted")
        content = _PlainUnpickler(BytesIO(data)).load()
    except FileNotFoundError:
        raise EarshotError(path, "no such file", REMEDY) from None
    except Exception as error:  # damaged pickles raise errors of many kinds
        raise EarshotError(path, f"not an occurrence pickle ({error})", REMEDY) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise EarshotError(path, "not an occurrence pickle of this version", REMEDY)
    return content


class _PlainUnpickler(pickle.Unpickler):
    """Admits dicts, lists, strings, numbers and None; whatever needs a class or a function is refused."""

    def find_class(self, module: str, name: str):
        raise pickle.UnpicklingError(f"it asks for {module}.{name}; only plain data is admitted")
