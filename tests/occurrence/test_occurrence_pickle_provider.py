import os
import pickle

import numpy as np
import pytest

from lib.core.errors import EarshotError
from lib.occurrence import occurrence_pickle_provider as pickle_provider
from lib.occurrence.occurrence_pickle_provider import FORMAT, OccurrencePickleProvider
from lib.occurrence.occurrence_provider import OccurrenceDataProvider
from tests.memory import peak_memory


@pytest.fixture
def lines(line):
    return [
        line("CA-ON-OT", "wren", {1: 0.8, 48: 0.2}, (-77, -75, 44, 46)),
        line("CA-ON-YO", "wren", {24: 0.4}, (-80, -79, 43, 44)),
        line("CA-ON-YO", "finch", {24: 0.6}, (-80, -79, 43, 44)),
        line("CA-ONX-1", "wren", {12: 1.0}, (50, 51, 0, 1)),
    ]


@pytest.fixture
def provider(lines, provider_of):
    return provider_of(lines)


OTTAWA, ONTARIO = {"region_code": "CA-ON-OT"}, {"region_code": "CA-ON"}


@pytest.mark.parametrize(
    ("name", "question", "answer"),
    [
        ("wren", {**OTTAWA, "smoothed": False, "week_num": 0}, 0.8),
        ("wren", {**OTTAWA, "smoothed": False, "week_num": 1}, 0.0),
        ("wren", {"latitude": 45, "longitude": -76, "smoothed": False, "week_num": 47}, 0.2),
        # smoothed over adjacent weeks by default
        *(("wren", {**OTTAWA, "week_num": week}, value) for week, value in {0: 0.8, 1: 0.8, 2: 0, 46: 0.2}.items()),
        # a region: the average of its counties that have values of the class
        ("wren", {**ONTARIO, "smoothed": False, "week_num": 0}, 0.4),
        ("finch", {**ONTARIO, "week_num": 24}, 0.6),
        # without a week: the largest of the averaged year
        ("wren", OTTAWA, 0.8),
        ("wren", ONTARIO, 0.4),
        # a class that is known elsewhere
        ("finch", {**OTTAWA, "week_num": 23}, 0.0),
        ("finch", OTTAWA, 0.0),
    ],
)
def test_the_value_of_a_class_at_a_place(provider, name, question, answer):
    assert provider.occurrence_value(name, **question) == (True, True, answer)


def test_a_class_that_is_known_in_one_of_many_counties_is_not_averaged_away(line, provider_of):
    provider = provider_of(
        [
            line("US-NY-001", "wren", {1: 0.5}, (0, 1, 0, 1)),
            *(line(f"US-NY-{k:03}", "finch", {1: 0.2}, (k, k + 1, 0, 1)) for k in range(2, 101)),
        ]
    )
    assert provider.occurrence_value("wren", region_code="US-NY", week_num=0)[2] == 0.5


def test_unknown_places_and_classes_are_told_apart(provider):
    for place in ({"region_code": "US"}, {"region_code": "CA-O"}, {"latitude": 0, "longitude": 0}):
        assert provider.occurrence_value("wren", **place) == (False, True, None)
    assert provider.occurrence_value("owl", region_code="CA") == (True, False, None)
    assert provider.occurrence_value("owl", region_code="US") == (False, False, None)


@pytest.mark.parametrize("week", [48, -1])
def test_a_week_outside_the_year_is_an_error(provider, week):
    with pytest.raises(EarshotError, match=rf"week_num {week}: not within 0\.\.47"):
        provider.occurrence_value("wren", region_code="CA", week_num=week)


def test_a_place_must_be_given(provider):
    for place in ({}, {"latitude": 45}, {"longitude": -76}):
        with pytest.raises(EarshotError, match="no place was given"):
            provider.occurrence_value("wren", **place)


def test_a_region_goes_before_a_point_and_a_point_is_one_county(line, provider_of):
    provider = provider_of(
        [line("A", "wren", {1: 0.2}, (0, 1, 0, 1)), line("A-B", "wren", {1: 0.8}, (5, 6, 0, 1))],
    )
    assert provider.occurrence_value("wren", latitude=0.5, longitude=0.5, week_num=0) == (True, True, 0.2)
    assert provider.occurrence_value("wren", region_code="A", latitude=0.5, longitude=0.5, week_num=0)[2] == 0.5


def test_it_agrees_with_the_provider_of_the_database(lines, provider, database_of):
    with database_of(lines) as database:
        reference = OccurrenceDataProvider(database)
        assert provider.find_counties("CA") == reference.find_counties("CA")
        assert provider.find_county(43.5, -79.5) == reference.find_county(43.5, -79.5) is not None
        for region in ("CA", "CA-ON", "CA-ON-YO"):
            values = [provider.occurrence_value("wren", False, region, week_num=week)[2] for week in range(48)]
            assert np.allclose(values, reference.average_occurrences(region, "wren"))  # every county has values of it


def test_an_empty_pickle_finds_nothing(provider_of):
    provider = provider_of([])
    assert provider.occurrence_value("wren", region_code="CA") == (False, False, None)
    assert provider.occurrence_value("wren", latitude=45, longitude=-76, week_num=0) == (False, False, None)
    assert provider.find_counties("CA") == [] and provider.find_county(45, -76) is None


def test_the_default_pickle_is_that_of_the_pipeline(provider, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "occurrences.pkl").rename(tmp_path / "data" / "occurrences.pkl")
    monkeypatch.chdir(tmp_path)
    assert OccurrencePickleProvider().counties == provider.counties


class Harm:
    """Makes a folder when it is unpickled without restriction."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path):
    (tmp_path / "bad.pkl").write_bytes(pickle.dumps({"format": FORMAT, "counties": Harm(tmp_path / "harm")}))
    with pytest.raises(EarshotError, match=r"bad\.pkl: not an occurrence pickle .*only plain data") as error:
        OccurrencePickleProvider(tmp_path / "bad.pkl")
    assert not (tmp_path / "harm").exists() and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a pickle",
        pickle.dumps([1, 2]),
        pickle.dumps({"format": "another"}),
        pickle.dumps({"format": FORMAT, "counties": [[1]], "classes": [], "pairs": b"", "weeks": b""}),
        pickle.dumps({"format": FORMAT, "counties": [], "classes": [], "pairs": bytes(8), "weeks": bytes(48 * 8)}),
        pickle.dumps({"format": FORMAT, "counties": [], "classes": [], "pairs": bytes(8), "weeks": bytes(47 * 8)}),
    ],
)
def test_a_file_that_is_no_occurrence_pickle_gives_one_line(tmp_path, content):
    (tmp_path / "bad.pkl").write_bytes(content)
    with pytest.raises(EarshotError, match=r"bad\.pkl: .*run python -m stages\.pickle_occurrences") as error:
        OccurrencePickleProvider(tmp_path / "bad.pkl")
    assert "\n" not in str(error.value)


def test_a_missing_pickle_gives_one_line(tmp_path):
    with pytest.raises(EarshotError, match=r"none\.pkl: no such file; run"):
        OccurrencePickleProvider(tmp_path / "none.pkl")


def test_memory_does_not_grow_with_the_questions(line, provider_of, monkeypatch):
    monkeypatch.setattr(pickle_provider, "YEARS_REMEMBERED", 8)
    names = [f"class {k}" for k in range(30)]
    places = [(f"CA-{x // 2:02}-{x}", x + 0.5) for x in range(40)]
    provider = provider_of([line(code, name, {1: 0.5}, (x, x, 0, 1)) for code, x in places for name in names])

    def ask():
        for code, x in places:
            for name in names:
                values = [
                    provider.occurrence_value(name, latitude=0.5, longitude=x, week_num=0)[2],
                    provider.occurrence_value(name, region_code=code)[2],
                    provider.occurrence_value(name, region_code=code[:5], week_num=0)[2],
                ]
                assert values == [0.5, 0.5, 0.5]

    provider.find_counties("CA-00")
    assert peak_memory(ask) < 50_000  # 3,000 years of 48 numbers would take more than a million
