import math

import pytest

from lib.occurrence.places import County, box_fault, counties_of, county_at


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
    assert counties_of(counties, "") == []


def test_borders_belong_to_the_box_and_other_points_do_not():
    box = county("A", (10, 20, 40, 50))
    assert county_at([box], 40, 10) is box
    assert county_at([box], 50, 20) is box
    assert county_at([box], 39.999, 15) is None
    assert county_at([box], 45, 20.001) is None
    assert county_at([box], math.nan, 15) is None


@pytest.mark.parametrize("order", [1, -1])
def test_where_boxes_overlap_the_smallest_then_the_first_code_is_taken(order):
    large, small = county("A", (0, 10, 0, 10)), county("Z", (4, 6, 4, 6))
    left, right = county("L", (20, 21, 0, 1)), county("R", (21, 22, 0, 1))
    counties = [large, small, left, right][::order]
    assert county_at(counties, 5, 5) is small
    assert county_at(counties, 1, 1) is large
    assert county_at(counties, 0.5, 21) is left


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
