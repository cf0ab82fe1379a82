import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.core.errors import EarshotError
from lib.occurrence.occurrence_database import OccurrenceDatabase
from lib.occurrence.occurrence_provider import OccurrenceDataProvider

NORTH, SOUTH = (0, 1, 60, 61), (0, 1, 0, 1)


@pytest.fixture
def provider(line, database_of):
    lines = [
        line("CA-ON-OT", "wren", {1: 0.8, 48: 0.2}, NORTH),
        line("CA-ON-YO", "wren", {24: 0.4}, SOUTH),
        line("CA-ON-YO", "finch", {24: 0.6}, SOUTH),
        line("CA-ONX-1", "wren", {12: 1.0}, (50, 51, 0, 1)),
    ]
    with database_of(lines) as database:
        yield OccurrenceDataProvider(database)


def test_occurrences_are_the_values_of_a_county(provider):
    values = provider.occurrences("CA-ON-OT", "wren")
    assert len(values) == 48 and (values[0], values[47], sum(values)) == (0.8, 0.2, 1.0)


def test_smoothed_occurrences_wrap_around_the_year(provider):
    values = provider.smoothed_occurrences("CA-ON-OT", "wren")
    assert len(values) == 48 and [values[week] for week in (0, 1, 2, 46, 47)] == [0.8, 0.8, 0, 0.2, 0.8]


def test_a_class_without_values_gives_an_empty_list_and_an_unknown_county_an_error(provider):
    assert provider.occurrences("CA-ON-OT", "finch") == provider.smoothed_occurrences("CA-ON-OT", "owl") == []
    with pytest.raises(EarshotError, match="county XX: "):
        provider.occurrences("XX", "wren")


def test_averages_count_counties_without_the_class_as_zero(provider):
    assert provider.average_occurrences("CA-ON", "wren")[[0, 23, 47]].tolist() == [0.4, 0.2, 0.1]
    assert provider.average_occurrences("CA-ON", "finch")[23] == 0.3
    assert provider.average_occurrences("CA-ON", "owl").tolist() == [0] * 48


def test_averages_can_be_weighted_by_area(provider):
    north, south = (county.area for county in provider.find_counties("CA-ON"))
    average = provider.average_occurrences("CA-ON", "wren", area_weight=True)
    assert average[0] == pytest.approx(0.8 * north / (north + south))
    assert average[0] < 0.3  # a box at 60 degrees has half the area of one at the equator
    maximum = provider.max_occurrences("CA-ON", "wren", area_weight=True)
    assert maximum == pytest.approx((0.8 * north + 0.4 * south) / (north + south))


def test_the_average_maximum_is_taken_county_by_county(provider):
    assert provider.max_occurrences("CA-ON", "wren") == pytest.approx(0.6)
    assert provider.average_occurrences("CA-ON", "wren").max() == 0.4


def test_a_prefix_that_no_county_has_is_an_error(provider):
    for method in (provider.average_occurrences, provider.max_occurrences):
        with pytest.raises(EarshotError, match="region CA-O: no county"):
            method("CA-O", "wren")


def test_counties_without_area_weigh_the_same(line, database_of):
    lines = [line("A-1", "wren", {1: 0.2}, (3, 3, 4, 4)), line("A-2", "wren", {1: 0.6}, (5, 5, 4, 4))]
    provider = OccurrenceDataProvider(database_of(lines))
    assert provider.average_occurrences("A", "wren", area_weight=True)[0] == pytest.approx(0.4)


def test_counties_are_found_by_region_and_by_point(provider):
    assert [county.code for county in provider.find_counties("CA-ON")] == ["CA-ON-OT", "CA-ON-YO"]
    assert provider.find_county(60.5, 0.5).code == "CA-ON-OT"


def test_changes_are_seen_after_refresh(provider):
    county = provider.db.insert_county("New", "US-1", 100, 101, 0, 1)
    provider.db.insert_occurrences(county, provider.classes[0].id, [0.5] * 48)
    assert provider.find_counties("US") == []
    provider.refresh()
    assert provider.find_county(0.5, 100.5).code == "US-1"
    assert provider.average_occurrences("US", provider.classes[0].name).tolist() == [0.5] * 48


CODES = ["A", "A-B", "A-B-C", "A-BX", "AB", "B"]
YEARS = st.lists(st.floats(0, 1), min_size=48, max_size=48)


@settings(max_examples=20, deadline=None)
@given(table=st.dictionaries(st.sampled_from(CODES), YEARS | st.none(), min_size=1), prefix=st.sampled_from(CODES))
def test_group_values_equal_a_naive_count(table, prefix):
    with OccurrenceDatabase(":memory:") as database:
        wren = database.insert_class("wren")
        for code, values in table.items():
            county = database.insert_county(code, code, 0, 1, 0, 1)
            if values:
                database.insert_occurrences(county, wren, values)
        provider = OccurrenceDataProvider(database)
        parts = prefix.split("-")
        group = [values or [0] * 48 for code, values in table.items() if code.split("-")[: len(parts)] == parts]
        if not group:
            with pytest.raises(EarshotError):
                provider.average_occurrences(prefix, "wren")
            return
        assert np.allclose(provider.average_occurrences(prefix, "wren"), np.mean(group, axis=0))
        assert np.isclose(provider.max_occurrences(prefix, "wren"), np.mean(np.max(group, axis=1)))
