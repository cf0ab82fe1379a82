import subprocess
import sys
from pathlib import Path

import pytest

from lib.occurrence.pickle_provider import OccurrencePickleProvider

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def stage(tmp_path):
    """A function that runs the stage on a table and returns its exit status, output and errors."""

    def run(path, name="out"):
        params = tmp_path / "params.yaml"
        params.write_text(f"data:\n  train: {{path: a}}\n  test: {{path: b}}\noccurrences: {{path: {path}}}\n")
        files = ["--database", tmp_path / f"{name}.db", "--output", tmp_path / f"{name}.pkl"]
        command = [sys.executable, "-m", "stages.pickle_occurrences", "--params", params, *files]
        done = subprocess.run(list(map(str, command)), cwd=PROJECT, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    return run


def test_a_table_becomes_database_and_pickle_and_bad_rows_are_named(stage, line, write_csv, tmp_path):
    path = write_csv([line("A", "wren", {1: 0.5}), line("B", "wren", {1: 5})])
    status, output, errors = stage(path)
    assert (status, output) == (0, f"{tmp_path}/out.pkl: 1 counties, 1 classes, values for 1 pairs of them\n")
    assert errors.startswith(f"warning: {path}:3: w1 = 5 is not within 0..1;") and errors.count("\n") == 1
    provider = OccurrencePickleProvider(tmp_path / "out.pkl")
    assert provider.occurrence_value("wren", False, "A", week_num=0) == (True, True, 0.5)


def test_the_same_table_gives_the_same_bytes_again(stage, line, write_csv, tmp_path):
    path = write_csv([line(code, name, {1: 0.5}) for code in "ABC" for name in ("wren", "owl", "finch")])
    stage(path, "one")
    stage(write_csv([line("D", "wren", {})], "other.csv"), "two")
    stage(path, "two")
    for suffix in ("db", "pkl"):
        assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"two.{suffix}").read_bytes()


@pytest.mark.parametrize("path", ["null", "empty"])
def test_without_occurrences_empty_files_are_written_and_it_is_said(stage, tmp_path, path):
    (tmp_path / "empty").mkdir()
    status, output, errors = stage(path if path == "null" else tmp_path / path)
    assert (status, errors, output.count("\n")) == (0, "", 1) and "no occurrences" in output
    assert OccurrencePickleProvider(tmp_path / "out.pkl").counties == []


def test_a_wrong_path_is_one_line(stage, tmp_path):
    status, output, errors = stage(tmp_path / "nowhere")
    assert (status, output) == (1, "")
    assert errors.startswith(f"error: {tmp_path}/nowhere: no such file or folder") and errors.count("\n") == 1
    assert not (tmp_path / "out.db").exists() and not (tmp_path / "out.pkl").exists()
