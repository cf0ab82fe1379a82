import csv

import pytest

from lib.core.errors import EarshotError
from lib.occurrence.occurrence_pickle_provider import OccurrencePickleProvider
from lib.occurrence.occurrence_table import COLUMNS
from stages.pickle_occurrences import pickle_occurrences


def write_table(path, rows):
    """An occurrence table of counties, classes and their values in the first week; those of the others are 0."""
    lines = ([code, f"County {code}", 0, 1, 0, 1, name, value, *([0] * 47)] for code, name, value in rows)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *lines])
    return path


@pytest.fixture
def pickled(tmp_path):
    """A function that runs the stage on a table."""

    def run(path, name="out"):
        pickle_occurrences(str(tmp_path / f"{name}.db"), str(tmp_path / f"{name}.pkl"), path=path)

    return run


def test_a_table_becomes_database_and_pickle_and_bad_rows_are_named(run_stage, tmp_path):
    path = write_table(tmp_path / "table.csv", [("A", "wren", 0.5), ("B", "wren", 5)])
    files = "--database", tmp_path / "out.db", "--output", tmp_path / "out.pkl"
    status, output, errors = run_stage("pickle_occurrences", "--path", path, *files)
    assert (status, output) == (0, f"{tmp_path}/out.pkl: 1 county, 1 class, values for 1 pair of them\n")
    assert errors.startswith(f"warning: {path}:3: w1 = 5 is not within 0..1;") and errors.count("\n") == 1
    provider = OccurrencePickleProvider(tmp_path / "out.pkl")
    assert provider.occurrence_value("wren", False, "A", week_num=0) == (True, True, 0.5)


def test_the_same_table_gives_the_same_bytes_again(pickled, tmp_path):
    path = write_table(
        tmp_path / "table.csv", [(code, name, 0.5) for code in "ABC" for name in ("wren", "owl", "finch")]
    )
    pickled(path, "one")
    pickled(write_table(tmp_path / "other.csv", [("D", "wren", 0)]), "two")
    pickled(path, "two")
    for suffix in ("db", "pkl"):
        assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"two.{suffix}").read_bytes()


@pytest.mark.parametrize("path", [None, "empty"])
def test_without_occurrences_empty_files_are_written_and_it_is_said(pickled, tmp_path, capsys, path):
    (tmp_path / "empty").mkdir()
    pickled(path and tmp_path / path)
    output, errors = capsys.readouterr()
    assert (errors, output.count("\n")) == ("", 1) and "no occurrences" in output
    assert OccurrencePickleProvider(tmp_path / "out.pkl").counties == []


def test_a_wrong_path_is_one_line_and_nothing_is_written(pickled, tmp_path):
    with pytest.raises(EarshotError, match=f"^{tmp_path}/nowhere: no such file or folder") as error:
        pickled(tmp_path / "nowhere")
    assert "\n" not in str(error.value) and list(tmp_path.iterdir()) == []
