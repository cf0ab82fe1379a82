import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.occurrence.counties import County, CountyMap, box_fault


def county(code, box=(0, 1, 0, 1)):
    return County(1, code, code, *box)


def test_the_areas_of_boxes_that_tile_the_sphere_add_up_to_it():
    boxes = [(-180, 0, -90, 30), (0, 180, -90, 30), (-180, 180, 30, 90)]
    assert sum(county("A", box).area for box in boxes) == pytest.approx(4 * math.pi)


@pytest.mark.parametrize(
    ("region", "codes"),
    [
        ("CA-ON", ["CA-ON", "CA-ON-OT"]),
        ("CA-ON-", ["CA-ON", "CA-ON-OT"]),
        ("CA", ["CA", "CA-ON", "CA-ON-OT", "CA-ONX"]),
        ("CA-O", []),
        ("", ["CA", "CA-ON", "CA-ON-OT", "CA-ONX", "CAT-ON"]),
    ],
)
def test_a_region_holds_the_counties_whose_whole_leading_parts_it_names(region, codes):
    counties = CountyMap(map(county, ["CA", "CA-ON", "CA-ON-OT", "CA-ONX", "CAT-ON"]))
    assert [county.code for county in counties.find_counties(region)] == codes


def test_borders_belong_to_the_box_and_other_points_do_not():
    counties = CountyMap([county("A", (10, 20, 40, 50))])
    for point in ((40, 10), (50, 20)):
        assert counties.find_county(*point).code == "A"
    for point in ((39.999, 15), (45, 20.001), (math.nan, 15)):
        assert counties.find_county(*point) is None


@pytest.mark.parametrize("order", [1, -1])
def test_where_boxes_overlap_the_smallest_then_the_first_code_is_taken(order):
    large, small = county("A", (0, 10, 0, 10)), county("Z", (4, 6, 4, 6))
    left, right = county("L", (20, 21, 0, 1)), county("R", (21, 22, 0, 1))
    counties = CountyMap([large, small, left, right][::order])
    assert [counties.find_county(*point) for point in ((5, 5), (1, 1), (0.5, 21))] == [small, large, left]


def test_a_box_may_cross_the_180th_meridian():
    fiji = county("FJ", (177, -178, -20, -15))
    assert box_fault(177, -178, -20, -15) is None
    assert fiji.contains(-17, 179) and fiji.contains(-17, -179) and not fiji.contains(-17, 0)
    assert fiji.area == pytest.approx(county("B", (0, 5, -20, -15)).area)


@pytest.mark.parametrize(
    "box",
    [(2, 1, 0, 1), (0, 1, 2, 1), (-181, 0, 0, 1), (0, 181, 0, 1), (0, 1, -91, 0), (0, 1, 0, 91), (math.nan, 1, 0, 1)],
)
def test_impossible_boxes_are_named(box):
    assert box_fault(*box)


@pytest.mark.parametrize("box", [(3, 3, 4, 4), (-180, 180, -90, 90), (None,) * 4])
def test_a_point_the_whole_world_and_an_unknown_box_are_valid(box):
    assert box_fault(*box) is None


EDGES = st.integers(-20, 20).map(lambda tenths: tenths / 8)


@given(st.lists(st.tuples(EDGES, EDGES, EDGES, EDGES), max_size=12), st.lists(st.tuples(EDGES, EDGES), max_size=20))
def test_the_map_agrees_with_looking_at_each_county(boxes, points):
    counties = []
    for number, (x, width, y, height) in enumerate(boxes):
        west, east = (180 + x, -180 + x + abs(width)) if x <= 0 <= x + abs(width) else (x, x + abs(width))
        counties.append(County(number, "", f"{number:02}", west, east, y, y + abs(height)))
    counties.append(County(99, "", "nowhere", None, None, None, None))
    county_map = CountyMap(counties)
    points += [(latitude, sign * (180 - abs(longitude))) for latitude, longitude in points for sign in (1, -1)]
    for latitude, longitude in points:
        around = [county for county in counties if county.contains(latitude, longitude)]
        expected = min(around, key=lambda county: (county.area, county.code), default=None)
        assert county_map.find_county(latitude, longitude) is expected


def test_a_point_is_looked_up_among_the_counties_near_it_only():
    checked = []

    class Watched(County):
        def contains(self, latitude, longitude):
            checked.append(self.code)
            return super().contains(latitude, longitude)

    counties = [Watched(1, "", f"{x} {y}", x, x + 1, y, y + 1) for x in range(60) for y in range(50)]
    assert CountyMap(counties).find_county(20.5, 30.5).code == "30 20" and len(checked) <= 4
