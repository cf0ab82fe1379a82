import pickle

import pytest

from lib.occurrence import OccurrenceError
from lib.occurrence.database import OccurrenceDatabase
from lib.occurrence.pickler import OccurrencePickler


def types_in(content):
    if isinstance(content, dict):
        return {dict}.union(*map(types_in, [*content.keys(), *content.values()]))
    if isinstance(content, list):
        return {list}.union(*map(types_in, content))
    return {type(content)}


def test_the_pickle_holds_plain_data_only(line, database_of, tmp_path):
    database = database_of([line("A", "wren", {1: 0.5})])
    OccurrencePickler(database.db_path, tmp_path / "out.pkl").pickle(quiet=True)
    content = pickle.loads((tmp_path / "out.pkl").read_bytes())
    assert types_in(content) == {dict, list, str, float, int}
    assert content["counties"] == [[1, "County A", "A", 0.0, 1.0, 0.0, 1.0]] and content["classes"] == ["wren"]
    assert content["occurrences"] == [[0, 0, [0.5] + [0.0] * 47]]


def test_the_same_database_gives_the_same_bytes(line, database_of, tmp_path):
    database = database_of([line(code, name, {5: 0.1}) for code in "AB" for name in ("wren", "finch")])
    for name in ("one.pkl", "two.pkl"):
        OccurrencePickler(database.db_path, tmp_path / name).pickle(quiet=True)
    assert (tmp_path / "one.pkl").read_bytes() == (tmp_path / "two.pkl").read_bytes()


def test_it_says_what_it_wrote_unless_quiet(line, database_of, tmp_path, capsys):
    database = database_of([line("A", "wren", {}), line("B", "wren", {})])
    OccurrencePickler(database.db_path, tmp_path / "out.pkl").pickle()
    assert capsys.readouterr().out == f"{tmp_path}/out.pkl: 2 counties, 1 classes, values for 2 pairs of them\n"
    OccurrencePickler(database.db_path, tmp_path / "out.pkl").pickle(quiet=True)
    assert capsys.readouterr().out == ""


def test_a_missing_database_is_an_error_and_not_made(tmp_path):
    with pytest.raises(OccurrenceError, match=r"missing\.db: no such file"):
        OccurrencePickler(tmp_path / "missing.db", tmp_path / "out.pkl").pickle()
    assert list(tmp_path.iterdir()) == []


def test_an_empty_database_makes_an_empty_pickle(tmp_path):
    OccurrenceDatabase(tmp_path / "test.db").close()
    OccurrencePickler(tmp_path / "test.db", tmp_path / "out.pkl").pickle(quiet=True)
    content = pickle.loads((tmp_path / "out.pkl").read_bytes())
    assert content["counties"] == content["classes"] == content["occurrences"] == []
