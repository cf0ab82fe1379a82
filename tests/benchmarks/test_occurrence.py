"""How long a question to an occurrence pickle takes; nothing here asserts a time."""

import time

import numpy as np
import pytest

from lib.occurrence.occurrence_database import write_database
from lib.occurrence.occurrence_pickle_provider import OccurrencePickleProvider
from lib.occurrence.occurrence_pickler import OccurrencePickler
from lib.occurrence.occurrence_table import OccurrenceRow

pytestmark = pytest.mark.benchmark

COUNTIES, CLASSES = 3000, 100


@pytest.fixture(scope="module")
def provider(tmp_path_factory):
    folder = tmp_path_factory.mktemp("occurrences")
    values = np.random.default_rng(1).random((CLASSES, 48))
    rows = []
    for number in range(COUNTIES):
        x, y = number % 60 - 120, number // 60 + 20
        code = f"CA-{number % 10:02}-{number:04}"
        rows += [OccurrenceRow(code, code, (x, x + 1, y, y + 1), f"class {k:03}", values[k]) for k in range(CLASSES)]
    write_database(rows, folder / "occurrences.db")
    OccurrencePickler(folder / "occurrences.db", folder / "occurrences.pkl").pickle(quiet=True)
    return OccurrencePickleProvider(folder / "occurrences.pkl")


def test_a_lookup(provider):
    names = [f"class {k:03}" for k in range(CLASSES)]
    places = [
        {"region_code": "CA"},
        {"region_code": "CA-03"},
        {"region_code": "CA-07-0017"},
        {"latitude": 35.5, "longitude": -99.5},
    ]
    print(f"\n\nlookup of an occurrence among {COUNTIES} counties and {CLASSES} classes, microseconds")
    for place in places:
        for when, weeks in (("first", range(1)), ("later", range(48))):
            begin = time.perf_counter()
            for week in weeks:
                for name in names:
                    provider.occurrence_value(name, week_num=week, **place)
            each = (time.perf_counter() - begin) / len(names) / len(weeks)
            print(f"{place}, {when}: {1e6 * each:.1f}")


def test_a_new_point(provider):
    points = np.random.default_rng(2).uniform((20, -120), (70, -60), (5000, 2)).tolist()
    begin = time.perf_counter()
    for latitude, longitude in points:
        provider.occurrence_value("class 000", latitude=latitude, longitude=longitude, week_num=7)
    each = (time.perf_counter() - begin) / len(points)
    print(f"\na point that was not asked for before, among {COUNTIES} counties: {1e6 * each:.1f} microseconds")
