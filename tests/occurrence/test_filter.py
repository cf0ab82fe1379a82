import pytest

from lib.config import Infer
from lib.occurrence import OccurrenceError
from lib.occurrence.filter import OccurrenceFilter, occurrence_filter

CLASSES = ["finch", "owl", "wren"]


@pytest.fixture
def provider(line, provider_of):
    return provider_of(
        [
            line("CA-ON-OT", "wren", {18: 0.5}, (-77, -75, 44, 46)),
            line("CA-ON-YO", "finch", {40: 0.1}, (-80, -79, 43, 44)),
            line("CA-QC-MO", "wren", {1: 0.5}, (-74, -73, 45, 46)),
        ]
    )


def kept(answer):
    return [name for name, keep in zip(CLASSES, answer[0], strict=True) if keep]


def test_classes_that_never_occur_at_the_place_are_dropped_and_unknown_ones_kept(provider):
    assert kept(OccurrenceFilter(provider, "CA-ON-OT", None, None, None, 0.0).allowed(CLASSES, "a")) == ["owl", "wren"]
    assert kept(OccurrenceFilter(provider, None, 43.5, -79.5, None, 0.0).allowed(CLASSES, "a")) == ["finch", "owl"]
    assert kept(OccurrenceFilter(provider, "CA", None, None, None, 0.0).allowed(CLASSES, "a")) == CLASSES


@pytest.mark.parametrize(("week", "names"), [(17, ["owl", "wren"]), (18, ["owl", "wren"]), (20, ["owl"])])
def test_a_week_drops_what_does_not_occur_in_it_or_beside_it(provider, week, names):
    assert kept(OccurrenceFilter(provider, "CA-ON-OT", None, None, week, 0.0).allowed(CLASSES, "a")) == names


def test_the_minimum_itself_is_too_little(provider):
    assert "wren" in kept(OccurrenceFilter(provider, "CA-ON-OT", None, None, None, 0.49).allowed(CLASSES, "a"))
    assert "wren" not in kept(OccurrenceFilter(provider, "CA-ON-OT", None, None, None, 0.5).allowed(CLASSES, "a"))


def test_the_season_can_come_from_the_name_of_the_recording(provider):
    chosen = OccurrenceFilter(provider, "CA-ON-OT", None, None, "date", 0.0)
    assert kept(chosen.allowed(CLASSES, "SMM1_20240512_053000")) == ["owl", "wren"]
    assert kept(chosen.allowed(CLASSES, "SMM1_20241012_053000")) == ["owl"]


def test_without_a_date_in_the_name_the_whole_year_counts_and_it_is_said(provider):
    chosen = OccurrenceFilter(provider, "CA-ON-OT", None, None, "date", 0.0)
    chosen.allowed(CLASSES, "20240512")
    for name in ("first", "second"):
        keep, (problem,) = chosen.allowed(CLASSES, name)
        assert kept((keep, [])) == ["owl", "wren"]
        assert problem.subject == name and problem.reason == "no date in its name" and not problem.lost


def test_a_class_that_is_not_in_the_table_is_reported_once(provider):
    chosen = OccurrenceFilter(provider, "CA", None, None, None, 0.0)
    _, (problem,) = chosen.allowed(CLASSES, "first")
    assert problem.subject == "class owl" and not problem.lost
    assert chosen.allowed(CLASSES, "second")[1] == []


@pytest.mark.parametrize("place", [("US", None, None), (None, 0.0, 0.0)])
def test_an_unknown_place_is_an_error_that_lists_known_codes(provider, place):
    with pytest.raises(OccurrenceError, match=r"known counties: CA-ON-OT, CA-ON-YO, CA-QC-MO$"):
        OccurrenceFilter(provider, *place, None, 0.0)


def test_a_place_without_occurrences_is_an_error(provider_of):
    with pytest.raises(OccurrenceError, match="region CA: no occurrences are configured"):
        OccurrenceFilter(provider_of([]), "CA", None, None, None, 0.0)


def test_settings_without_a_place_make_no_filter_and_need_no_pickle(tmp_path):
    assert occurrence_filter(Infer(), tmp_path / "missing.pkl") is None


@pytest.mark.parametrize("place", [{"region": "CA-ON-OT"}, {"latitude": 45.0, "longitude": -76.0}])
def test_settings_make_the_filter_that_they_describe(provider, tmp_path, place):
    chosen = occurrence_filter(Infer(**place, week=20, min_occurrence=0.1), tmp_path / "occurrences.pkl")
    assert kept(chosen.allowed(CLASSES, "a")) == ["owl"]
