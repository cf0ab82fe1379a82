"""Counties: boxes of longitude (x) and latitude (y) in degrees, with codes whose parts nest, such as CA-ON-OT.

A county with an unknown box has None for its edges; it is found by its code only.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

Box = tuple[float, float, float, float] | tuple[None, None, None, None]
"""min_x, max_x (longitude), min_y, max_y (latitude), degrees; or None four times."""
NO_BOX: Box = (None, None, None, None)


@dataclass(frozen=True, slots=True)
class County:
    """A county and the box around it, if that is known. A box with min_x > max_x crosses the 180th meridian."""

    id: int
    name: str
    code: str
    min_x: float | None
    max_x: float | None
    min_y: float | None
    max_y: float | None

    @property
    def box(self) -> tuple[float, float, float, float] | None:
        """min_x, max_x, min_y, max_y; None if they are not known."""
        if self.min_x is None or self.max_x is None or self.min_y is None or self.max_y is None:
            return None
        return self.min_x, self.max_x, self.min_y, self.max_y

    @property
    def area(self) -> float:
        """Area of the box on the unit sphere, in steradians: width * (sin(max_y) - sin(min_y)), in radians; or nan.

        The area of a spherical zone is 2 pi R times its height (Archimedes, On the Sphere and Cylinder I; MathWorld,
        "Zone"); a box is the part width / (2 pi) of its zone.
        """
        if self.box is None:
            return math.nan
        min_x, max_x, min_y, max_y = self.box
        return math.radians(_width(min_x, max_x)) * (math.sin(math.radians(max_y)) - math.sin(math.radians(min_y)))

    def contains(self, latitude: float, longitude: float) -> bool:
        """Whether a point (degrees) lies in the box or on its border."""
        if self.box is None:
            return False
        min_x, max_x, min_y, max_y = self.box
        if not min_y <= latitude <= max_y:
            return False
        if min_x <= max_x:
            return min_x <= longitude <= max_x
        return longitude >= min_x or longitude <= max_x


def box_fault(min_x: float | None, max_x: float | None, min_y: float | None, max_y: float | None) -> str | None:
    """What is wrong with a box, or None. An unknown one, None four times, is valid.

    min_x > max_x is a box across the 180th meridian if that makes it at most 180 degrees wide; a wider one means
    swapped numbers.
    """
    edges = [edge for edge in (min_x, max_x, min_y, max_y) if edge is not None]
    if len(edges) < 4:
        return "one edge of its box is given, another is not" if edges else None
    min_x, max_x, min_y, max_y = edges
    if not (-180 <= min_x <= 180 and -180 <= max_x <= 180):
        return f"longitudes {min_x:g} and {max_x:g} are not within -180..180"
    if not (-90 <= min_y <= 90 and -90 <= max_y <= 90):
        return f"latitudes {min_y:g} and {max_y:g} are not within -90..90"
    if min_y > max_y:
        return f"min_y {min_y:g} is above max_y {max_y:g}"
    if min_x > max_x and _width(min_x, max_x) > 180:
        return f"min_x {min_x:g} is above max_x {max_x:g}"
    return None


class CountyMap:
    """Counties by code and by place; each cell of one degree knows the counties that reach into it."""

    def __init__(self, counties: Iterable[County]) -> None:
        self.counties = list(counties)
        self._cells: dict[tuple[float, float], list[County]] = {}
        for county in self.counties:
            for cell in _cells(county):
                self._cells.setdefault(cell, []).append(county)
        for candidates in self._cells.values():
            candidates.sort(key=lambda county: (county.area, county.code))

    def find_county(self, latitude: float, longitude: float) -> County | None:
        """Return county info for a given latitude/longitude (degrees), or None if not found.

        Borders belong to the box. Where boxes overlap, the smallest county is returned, and of equal ones the first by
        code.
        """
        candidates = self._cells.get((latitude // 1, longitude // 1), ())
        return next((county for county in candidates if county.contains(latitude, longitude)), None)

    def find_counties(self, region_code: str) -> list[County]:
        """Return list of counties for a given region code, e.g. "CA", "CA-ON" or "CA-ON-OT", in their order.

        The region code must be equal to whole parts of the county code: CA-ON, or CA-ON-, matches CA-ON and CA-ON-OT,
        not CA-ONX. The empty code matches all.
        """
        parts = f"{region_code.rstrip('-')}-" if region_code else ""
        return [county for county in self.counties if f"{county.code}-".startswith(parts)]


def _cells(county: County) -> Iterator[tuple[float, float]]:
    """Latitude and longitude of the lower left corner of each cell that a county's box reaches into."""
    if county.box is None:
        return
    min_x, max_x, min_y, max_y = county.box
    spans = [(min_x, max_x)] if min_x <= max_x else [(min_x, 180.0), (-180.0, max_x)]
    for start, end in spans:
        for x in range(math.floor(start), math.floor(end) + 1):
            for y in range(math.floor(min_y), math.floor(max_y) + 1):
                yield y, x


def _width(min_x: float, max_x: float) -> float:
    return max_x - min_x if min_x <= max_x else max_x - min_x + 360
