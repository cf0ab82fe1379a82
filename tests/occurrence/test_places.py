import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.occurrence.places import County, CountyMap, box_fault, counties_of


def county(code, box=(0, 1, 0, 1)):
    return County(1, code, code, *box)


def test_the_areas_of_boxes_that_tile_the_sphere_add_up_to_it():
    boxes = [(-180, 0, -90, 30), (0, 180, -90, 30), (-180, 180, 30, 90)]
    assert sum(county("A", box).area for box in boxes) == pytest.approx(4 * math.pi)


def test_a_degree_near_a_pole_is_smaller_than_at_the_equator():
    at_60 = county("A", (0, 1, 59.5, 60.5)).area
    assert at_60 / county("B", (0, 1, -0.5, 0.5)).area == pytest.approx(math.cos(math.radians(60)))


def test_a_region_holds_the_counties_whose_whole_leading_parts_it_names():
    counties = [county(code) for code in ("CA", "CA-ON", "CA-ON-OT", "CA-ONX", "CAT-ON")]
    assert [found.code for found in counties_of(counties, "CA-ON")] == ["CA-ON", "CA-ON-OT"]
    assert [found.code for found in counties_of(counties, "CA")] == ["CA", "CA-ON", "CA-ON-OT", "CA-ONX"]
    assert counties_of(counties, "CA-O") == []


def test_borders_belong_to_the_box_and_other_points_do_not():
    box = county("A", (10, 20, 40, 50))
    assert CountyMap([box]).at(40, 10) is box
    assert CountyMap([box]).at(50, 20) is box
    assert CountyMap([box]).at(39.999, 15) is None
    assert CountyMap([box]).at(45, 20.001) is None
    assert CountyMap([box]).at(math.nan, 15) is None


@pytest.mark.parametrize("order", [1, -1])
def test_where_boxes_overlap_the_smallest_then_the_first_code_is_taken(order):
    large, small = county("A", (0, 10, 0, 10)), county("Z", (4, 6, 4, 6))
    left, right = county("L", (20, 21, 0, 1)), county("R", (21, 22, 0, 1))
    counties = [large, small, left, right][::order]
    assert CountyMap(counties).at(5, 5) is small
    assert CountyMap(counties).at(1, 1) is large
    assert CountyMap(counties).at(0.5, 21) is left


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


def test_a_single_point_and_the_whole_world_are_boxes():
    assert box_fault(3, 3, 4, 4) is None
    assert box_fault(-180, 180, -90, 90) is None


EDGES = st.integers(-20, 20).map(lambda tenths: tenths / 8)


@given(st.lists(st.tuples(EDGES, EDGES, EDGES, EDGES), max_size=12), st.lists(st.tuples(EDGES, EDGES), max_size=20))
def test_the_map_agrees_with_looking_at_each_county(boxes, points):
    counties = []
    for number, (x, width, y, height) in enumerate(boxes):
        west, east = (180 + x, -180 + x + abs(width)) if x <= 0 <= x + abs(width) else (x, x + abs(width))
        counties.append(County(number, "", f"{number:02}", west, east, y, y + abs(height)))
    counties.append(County(99, "", "nowhere", None, None, None, None))
    found = CountyMap(counties)
    points += [(latitude, sign * (180 - abs(longitude))) for latitude, longitude in points for sign in (1, -1)]
    for latitude, longitude in points:
        around = [county for county in counties if county.contains(latitude, longitude)]
        expected = min(around, key=lambda county: (county.area, county.code), default=None)
        assert found.at(latitude, longitude) is expected


def test_a_point_is_found_whatever_the_number_of_counties():
    counties = [county(f"{x} {y}", (x, x + 1, y, y + 1)) for x in range(60) for y in range(50)]
    looked_at = []

    class Watched(County):
        def contains(self, latitude, longitude):
            looked_at.append(self.code)
            return super().contains(latitude, longitude)

    watched = [Watched(*(getattr(each, name) for name in County.__slots__)) for each in counties]
    assert CountyMap(watched).at(20.5, 30.5).code == "30 20" and len(looked_at) <= 4


def test_a_region_may_end_in_a_hyphen_and_the_empty_one_holds_all():
    counties = [County(i, code, code, 0.0, 1.0, 0.0, 1.0) for i, code in enumerate(["CA-ON-OT", "CA-ONX", "US-NY"])]
    assert [county.code for county in counties_of(counties, "CA-ON-")] == ["CA-ON-OT"]
    assert counties_of(counties, "") == counties
