"""The occurrence classes as the reference documents them: each method with its arguments, defaults and results."""

import inspect

import numpy as np
import pytest

from lib import OccurrenceDatabase, OccurrenceDataProvider, OccurrencePickleProvider, OccurrencePickler

WREN = np.zeros(48)
WREN[[10, 11]] = [0.25, 0.5]
OWL = np.full(48, 0.125)
WREN_OF_YORK = np.zeros(48)
WREN_OF_YORK[30] = 1.0


def parameters(method) -> dict:
    """Names and defaults of the documented arguments."""
    return {
        name: parameter.default for name, parameter in inspect.signature(method).parameters.items() if name != "self"
    }


REQUIRED = inspect.Parameter.empty


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (OccurrenceDatabase, {"db_path": "data/occurrence.db"}),
        (OccurrenceDatabase.close, {}),
        (OccurrenceDatabase.delete_class, {"id": REQUIRED}),
        (OccurrenceDatabase.delete_county, {"id": REQUIRED}),
        (OccurrenceDatabase.get_all_classes, {}),
        (OccurrenceDatabase.get_all_counties, {}),
        (OccurrenceDatabase.get_all_occurrences, {}),
        (OccurrenceDatabase.get_occurrences, {"county_id": REQUIRED, "class_name": REQUIRED}),
        (OccurrenceDatabase.insert_class, {"name": REQUIRED}),
        (
            OccurrenceDatabase.insert_county,
            dict.fromkeys(("name", "code", "min_x", "max_x", "min_y", "max_y"), REQUIRED),
        ),
        (
            OccurrenceDatabase.insert_occurrences,
            dict.fromkeys(("county_id", "class_id", "value"), REQUIRED),
        ),
        (OccurrenceDataProvider, {"db": REQUIRED}),
        (OccurrenceDataProvider.refresh, {}),
        (OccurrenceDataProvider.find_county, {"latitude": REQUIRED, "longitude": REQUIRED}),
        (OccurrenceDataProvider.find_counties, {"region_code": REQUIRED}),
        (OccurrenceDataProvider.occurrences, {"county_code": REQUIRED, "class_name": REQUIRED}),
        (OccurrenceDataProvider.smoothed_occurrences, {"county_code": REQUIRED, "class_name": REQUIRED}),
        (
            OccurrenceDataProvider.average_occurrences,
            {"county_prefix": REQUIRED, "class_name": REQUIRED, "area_weight": False},
        ),
        (
            OccurrenceDataProvider.max_occurrences,
            {"county_prefix": REQUIRED, "class_name": REQUIRED, "area_weight": False},
        ),
        (OccurrencePickler, {"db_path": REQUIRED, "output_path": REQUIRED}),
        (OccurrencePickler.pickle, {"quiet": False}),
        (OccurrencePickleProvider, {"pickle_path": None}),
        (OccurrencePickleProvider.find_county, {"latitude": REQUIRED, "longitude": REQUIRED}),
        (OccurrencePickleProvider.find_counties, {"region_code": REQUIRED}),
        (
            OccurrencePickleProvider.occurrence_value,
            {
                "class_name": REQUIRED,
                "smoothed": True,
                "region_code": None,
                "latitude": None,
                "longitude": None,
                "week_num": None,
            },
        ),
    ],
)
def test_arguments_have_the_documented_names_order_and_defaults(method, expected):
    assert list(parameters(method).items()) == list(expected.items())


@pytest.fixture
def db(tmp_path):
    """Two counties of Ontario (York first) and one of Quebec; wren in both of the first, owl in York."""
    db = OccurrenceDatabase(str(tmp_path / "occurrence.db"))
    york = db.insert_county("York", "CA-ON-YO", -80, -79, 43, 44)
    ottawa = db.insert_county("Ottawa", "CA-ON-OT", -77, -75, 44, 46)
    db.insert_county("Montreal", "CA-QC-MO", -74, -73, 45, 46)
    wren, owl = db.insert_class("wren"), db.insert_class("owl")
    db.insert_class("auk")
    db.insert_occurrences(york, wren, WREN_OF_YORK)
    db.insert_occurrences(ottawa, wren, WREN)
    db.insert_occurrences(york, owl, OWL)
    yield db
    db.close()


@pytest.fixture
def provider(db):
    return OccurrenceDataProvider(db)


@pytest.fixture
def pickled(db, tmp_path):
    OccurrencePickler(str(tmp_path / "occurrence.db"), str(tmp_path / "occurrence.pkl")).pickle(quiet=True)
    return OccurrencePickleProvider(str(tmp_path / "occurrence.pkl"))


class TestOccurrenceDatabase:
    def test_get_all_counties(self, db):
        counties = db.get_all_counties()
        assert [county.name for county in counties] == ["York", "Ottawa", "Montreal"]
        york = counties[0]
        box = (york.min_x, york.max_x, york.min_y, york.max_y)
        assert (york.id, york.code, box) == (1, "CA-ON-YO", (-80, -79, 43, 44))

    def test_get_all_classes(self, db):
        assert [(entry.id, entry.name) for entry in db.get_all_classes()] == [(1, "wren"), (2, "owl"), (3, "auk")]

    def test_get_all_occurrences(self, db):
        assert sorted((entry.county_id, entry.class_id) for entry in db.get_all_occurrences()) == [
            (1, 1),
            (1, 2),
            (2, 1),
        ]

    def test_get_occurrences(self, db):
        assert list(db.get_occurrences(2, "wren")) == WREN.tolist()
        assert len(db.get_occurrences(2, "owl")) == len(db.get_occurrences(9, "wren")) == 0

    def test_delete_class(self, db):
        db.delete_class(1)
        assert [entry.name for entry in db.get_all_classes()] == ["owl", "auk"]
        assert [(entry.county_id, entry.class_id) for entry in db.get_all_occurrences()] == [(1, 2)]

    def test_delete_county(self, db):
        db.delete_county(1)
        assert [county.code for county in db.get_all_counties()] == ["CA-ON-OT", "CA-QC-MO"]
        assert [(entry.county_id, entry.class_id) for entry in db.get_all_occurrences()] == [(2, 1)]

    def test_records_stay_after_close(self, db, tmp_path):
        db.close()
        again = OccurrenceDatabase(db_path=str(tmp_path / "occurrence.db"))
        assert len(again.get_all_counties()) == 3
        again.close()


class TestOccurrenceDataProvider:
    def test_find_county(self, provider):
        assert provider.find_county(45.0, -76.0).code == "CA-ON-OT"
        assert provider.find_county(latitude=0.0, longitude=0.0) is None

    def test_find_counties(self, provider):
        for code, expected in {"CA": 3, "CA-ON": 2, "CA-ON-OT": 1, "US": 0}.items():
            assert len(provider.find_counties(code)) == expected
        assert [county.code for county in provider.find_counties("CA-ON")] == ["CA-ON-YO", "CA-ON-OT"]

    def test_occurrences(self, provider):
        assert list(provider.occurrences("CA-ON-OT", "wren")) == WREN.tolist()
        assert len(provider.occurrences("CA-ON-OT", "owl")) == 0
        with pytest.raises(Exception, match="US"):
            provider.occurrences("US", "wren")

    def test_smoothed_occurrences(self, provider):
        smoothed = list(provider.smoothed_occurrences("CA-ON-OT", "wren"))
        assert smoothed[8:14] == [0, 0.25, 0.5, 0.5, 0.5, 0] and len(smoothed) == 48

    def test_average_occurrences(self, provider):
        average = provider.average_occurrences("CA-ON", "wren")
        assert isinstance(average, np.ndarray) and average.shape == (48,)
        assert average == pytest.approx((WREN + WREN_OF_YORK) / 2)
        assert provider.average_occurrences("CA", "wren") == pytest.approx((WREN + WREN_OF_YORK) / 3)

    def test_average_occurrences_weighted_by_area(self, provider):
        average = provider.average_occurrences("CA-ON", "wren", area_weight=True)
        assert average == pytest.approx((4 * WREN + WREN_OF_YORK) / 5, rel=0.03)

    def test_max_occurrences(self, provider):
        assert provider.max_occurrences("CA-ON", "wren") == pytest.approx(0.75)
        assert provider.average_occurrences("CA-ON", "wren").max() == pytest.approx(0.5)
        assert provider.max_occurrences("CA-ON", "wren", area_weight=True) == pytest.approx((4 * 0.5 + 1) / 5, rel=0.03)

    def test_refresh(self, provider, db):
        db.insert_county("Kent", "US-DE-001", -76, -75, 39, 40)
        provider.refresh()
        assert provider.find_county(39.5, -75.5).name == "Kent"


class TestOccurrencePickler:
    def test_pickle(self, db, tmp_path):
        pickler = OccurrencePickler(db_path=str(tmp_path / "occurrence.db"), output_path=str(tmp_path / "new.pkl"))
        assert pickler.db_path == str(tmp_path / "occurrence.db") and pickler.output_path == str(tmp_path / "new.pkl")
        pickler.pickle(quiet=True)
        assert len(OccurrencePickleProvider(str(tmp_path / "new.pkl")).find_counties("CA")) == 3


class TestOccurrencePickleProvider:
    def test_find_county(self, pickled):
        county = pickled.find_county(45.0, -76.0)
        assert (county.name, county.code, county.min_x, county.max_y) == ("Ottawa", "CA-ON-OT", -77, 46)
        assert pickled.find_county(latitude=0.0, longitude=0.0) is None

    def test_find_counties(self, pickled):
        assert [county.code for county in pickled.find_counties("CA-ON")] == ["CA-ON-YO", "CA-ON-OT"]
        assert pickled.find_counties(region_code="US") == []

    def test_value_of_a_county_and_week(self, pickled):
        answers = [pickled.occurrence_value("wren", False, "CA-ON-OT", week_num=week) for week in range(48)]
        assert [answer[:2] for answer in answers] == [(True, True)] * 48
        assert [answer[2] for answer in answers] == WREN.tolist()
        assert pickled.occurrence_value("wren", False, latitude=45.0, longitude=-76.0, week_num=11)[2] == 0.5

    def test_smoothed_by_default(self, pickled):
        values = [pickled.occurrence_value("wren", region_code="CA-ON-OT", week_num=week)[2] for week in range(8, 14)]
        assert values == [0, 0.25, 0.5, 0.5, 0.5, 0]

    def test_average_of_several_counties(self, pickled):
        assert pickled.occurrence_value("wren", False, "CA-ON", week_num=30) == (True, True, 0.5)

    def test_without_a_week_the_maximum(self, pickled):
        assert pickled.occurrence_value("wren", region_code="CA-ON-OT") == (True, True, 0.5)
        assert pickled.occurrence_value("owl", latitude=43.5, longitude=-79.5) == (True, True, 0.125)

    def test_unknown_place_or_class(self, pickled):
        assert tuple(pickled.occurrence_value("wren", region_code="US")) == (False, True, None)
        assert tuple(pickled.occurrence_value("wren", latitude=0.0, longitude=0.0)) == (False, True, None)
        assert tuple(pickled.occurrence_value("lark", region_code="CA")) == (True, False, None)
        assert tuple(pickled.occurrence_value("lark", region_code="US")) == (False, False, None)
