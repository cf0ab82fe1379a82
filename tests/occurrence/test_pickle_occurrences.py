import pytest

from lib.core.errors import EarshotError
from lib.occurrence.occurrence_pickle_provider import OccurrencePickleProvider
from stages.pickle_occurrences import pickle_occurrences


@pytest.fixture
def pickled(tmp_path):
    """A function that runs the stage on a table."""

    def run(path, name="out"):
        pickle_occurrences(str(tmp_path / f"{name}.db"), str(tmp_path / f"{name}.pkl"), path=path)

    return run


def test_a_table_becomes_database_and_pickle_and_bad_rows_are_named(run_stage, line, write_csv, tmp_path):
    path = write_csv([line("A", "wren", {1: 0.5}), line("B", "wren", {1: 5})])
    files = "--database", tmp_path / "out.db", "--output", tmp_path / "out.pkl"
    status, output, errors = run_stage("pickle_occurrences", "--path", path, *files)
    assert (status, output) == (0, f"{tmp_path}/out.pkl: 1 counties, 1 classes, values for 1 pairs of them\n")
    assert errors.startswith(f"warning: {path}:3: w1 = 5 is not within 0..1;") and errors.count("\n") == 1
    provider = OccurrencePickleProvider(tmp_path / "out.pkl")
    assert provider.occurrence_value("wren", False, "A", week_num=0) == (True, True, 0.5)


def test_the_same_table_gives_the_same_bytes_again(pickled, line, write_csv, tmp_path):
    path = write_csv([line(code, name, {1: 0.5}) for code in "ABC" for name in ("wren", "owl", "finch")])
    pickled(path, "one")
    pickled(write_csv([line("D", "wren", {})], "other.csv"), "two")
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
