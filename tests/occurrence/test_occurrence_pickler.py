import pickle

import numpy as np
import pytest

from lib.core.errors import EarshotError
from lib.occurrence.occurrence_database import OccurrenceDatabase
from lib.occurrence.occurrence_pickler import OccurrencePickler


def test_the_pickle_holds_plain_data_only(line, database_of, tmp_path, capsys):
    with database_of([line("A", "wren", {1: 0.5})]) as database:
        OccurrencePickler(database.db_path, tmp_path / "out.pkl").pickle()
    assert capsys.readouterr().out == f"{tmp_path}/out.pkl: 1 county, 1 class, values for 1 pair of them\n"
    content = pickle.loads((tmp_path / "out.pkl").read_bytes())
    assert repr(content) == repr(
        {
            "format": "occurrences 2",
            "counties": [[1, "County A", "A", 0.0, 1.0, 0.0, 1.0]],
            "classes": ["wren"],
            "pairs": bytes(8),
            "weeks": np.array([0.5] + [0.0] * 47, "<f8").tobytes(),
        }
    )


def test_the_same_database_gives_the_same_bytes_and_quietly_if_asked_for(line, database_of, tmp_path, capsys):
    database = database_of([line(code, name, {5: 0.1}) for code in "AB" for name in ("wren", "finch")])
    for name in ("one.pkl", "two.pkl"):
        OccurrencePickler(database.db_path, tmp_path / name).pickle(quiet=True)
    assert (tmp_path / "one.pkl").read_bytes() == (tmp_path / "two.pkl").read_bytes()
    assert capsys.readouterr().out == ""


def test_a_missing_database_is_an_error_and_not_made(tmp_path):
    with pytest.raises(EarshotError, match=r"missing\.db: no such file"):
        OccurrencePickler(tmp_path / "missing.db", tmp_path / "out.pkl").pickle()
    assert list(tmp_path.iterdir()) == []


def test_an_empty_database_makes_an_empty_pickle(tmp_path):
    OccurrenceDatabase(tmp_path / "test.db").close()
    OccurrencePickler(tmp_path / "test.db", tmp_path / "out.pkl").pickle(quiet=True)
    content = pickle.loads((tmp_path / "out.pkl").read_bytes())
    assert content["counties"] == content["classes"] == [] and content["pairs"] == content["weeks"] == b""
