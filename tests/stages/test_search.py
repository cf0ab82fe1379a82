"""embed and search as their user runs them, on recordings in which each class has a pitch of its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from lib.core.errors import EarshotError, SettingsError
from lib.curation.embedding_store import EmbeddingStore
from stages.embed import embed
from stages.search import search
from tests.models.builders import save_random_model
from tests.recordings import sine, write
from tests.training_data.builders import AUDIO, RATE, extract_folder, write_data_set, write_params

N = 60
INFER = {"overlap": 0.25, "device": "cpu", "precision": "32", "workers": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data set, its params.yaml, a model, and a query that is a tone of class mid."""
    folder = tmp_path_factory.mktemp("search")
    write_data_set(folder / "set", 4)
    write_params(folder / "params.yaml", folder / "set", infer=INFER)
    save_random_model(folder / "model.pt", AUDIO, ["high", "low", "mid"])
    write(folder / "mid.wav", sine(800, 0.5, RATE), RATE)
    return folder


@pytest.fixture
def recordings(folder):
    return str(folder / "set/recordings")


@pytest.fixture
def run(folder, tmp_path, capsys):
    """A function that searches and returns the table of results, and what was printed."""

    def run(query="mid.wav", **arguments):
        paths = {"model": folder / "model.pt", "params": folder / "params.yaml", "output": tmp_path / "found"}
        if "database" not in arguments:
            paths["store"] = tmp_path / "store.db"
        query = str(folder / query) if query.endswith(".wav") else query
        search(query, **{name: str(path) for name, path in paths.items()} | arguments)
        return pd.read_csv(tmp_path / "found/results.csv"), capsys.readouterr().out

    return run


def are_mid(folder, results):
    """Whether an annotation of class mid overlaps each window."""
    events = pd.read_csv(folder / "set/annotations.csv").query("`class` == 'mid'")
    windows = results.reset_index().merge(events, on="recording", suffixes=("", "_event"))
    hit = windows.query("start_time_event < end_time and end_time_event > start_time")
    return set(hit["index"]) == set(results.index)


def test_folder_is_embedded_and_searched(folder, recordings, run, tmp_path):
    results, shown = run(recordings=recordings, max=3)
    assert list(results["rank"]) == [1, 2, 3] and are_mid(folder, results)
    assert results["similarity"].is_monotonic_decreasing
    assert results["path"][0] in shown and "3 of 44 windows, in " in shown
    with EmbeddingStore(tmp_path / "store.db") as store:
        assert sorted(store.keys()) == ["r00", "r01", "r02", "r03"]
    assert run(max=3)[0].equals(results)
    distinct, _ = run(max=9, distinct=True)
    assert sorted(distinct["recording"]) == ["r00", "r01", "r02", "r03"]
    one, shown = run(recordings=f"{recordings}/r02.wav", max=1)
    assert list(one["recording"]) == ["r02"] and "1 of 11 windows" in shown


def test_query_in_the_store_does_not_find_itself(recordings, run):
    name, start = run(recordings=recordings, max=1)[0].loc[0, ["recording", "start_time"]]
    for query in (name, f"set/recordings/{name}.wav"):
        results, _ = run(query, start=str(start), max=20)
        near = results[(results["recording"] == name) & ((results["start_time"] - start).abs() < 0.49)]
        assert len(results) and not len(near)


def test_database_is_searched_by_class(folder, run, tmp_path):
    extract_folder(folder / "set", tmp_path / "training.db")
    database = {"database": str(tmp_path / "training.db")}
    with pytest.raises(EarshotError, match="without embedding; run the embed stage with --database"):
        run(**database)
    embed(model=str(folder / "model.pt"), params=str(folder / "params.yaml"), **database)
    results, _ = run(**database, max=3, plot=True)
    assert are_mid(folder, results)
    assert results["path"][0] == f"recordings/{results['recording'][0]}.wav"
    assert len(list((tmp_path / "found").glob("*.png"))) == 3
    low, _ = run(**database, max=3, class_name="low")
    assert low["similarity"][0] < results["similarity"][0]
    save_random_model(tmp_path / "other.pt", AUDIO, ["high", "low", "mid"], seed=2)
    with pytest.raises(EarshotError, match=r"training\.db: its embeddings were made by another model than .*other\.pt"):
        run(**database, model=str(tmp_path / "other.pt"))


def test_wrong_arguments_are_one_line_each(folder, recordings, run):
    for arguments, line in (
        ({"start": "1:x"}, "--start = '1:x': must be seconds, m:ss or h:mm:ss"),
        ({"max": 0}, "--max 0: must be 1 or more"),
        ({"recordings": "a", "database": "b"}, "search: give --recordings or --database, not both"),
    ):
        with pytest.raises(SettingsError) as caught:
            run(**arguments)
        assert str(caught.value).startswith(line)
    with pytest.raises(EarshotError, match=r"store\.db: no such file; run the embed stage first"):
        run()
    run(recordings=recordings)
    with pytest.raises(EarshotError, match="owl: is neither a file nor the name of a recording there"):
        run("owl")
    with pytest.raises(SettingsError, match="give either --recordings or --database"):
        embed(params=str(folder / "params.yaml"))


def test_strict_embedding_does_not_start_where_a_listed_recording_is_missing(folder, tmp_path, capsys):
    listed, store = tmp_path / "list.txt", tmp_path / "store.db"
    listed.write_text(f"{folder / 'set/recordings/r00.wav'}\ngone.wav\n")
    with pytest.raises(EarshotError, match=r"^stopped because infer\.strict is set"):
        embed(str(listed), str(store), str(folder / "model.pt"), params=str(folder / "params.yaml"), strict=True)
    assert "gone.wav: no such file or folder" in capsys.readouterr().err and not store.exists()


def test_killed_embedding_resumes(folder, tmp_path, run_stage, capsys):
    field = tmp_path / "field"
    field.mkdir()
    for number in range(N):
        os.link(folder / f"set/recordings/r0{number % 4}.wav", field / f"{number:03}.wav")
    (field / "999.wav").write_bytes(b"nothing")
    store, whole = tmp_path / "killed.db", tmp_path / "whole.db"
    flags = [f"--recordings={field}", f"--model={folder / 'model.pt'}", f"--params={folder / 'params.yaml'}"]
    command = [sys.executable, "-c", SLOW, *flags, f"--output={store}"]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while n_embedded(store) <= 10:
        assert process.poll() is None and time.monotonic() < deadline, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    n_done = n_embedded(store)
    assert 10 < n_done < N
    status, output, errors = run_stage("embed", *flags, f"--output={store}")
    assert status == 0 and f"{N} of {N + 1} recordings ({N - n_done} new)" in output
    assert errors.count("warning: ") == 1 and "999.wav: " in errors
    with pytest.raises(EarshotError, match=r"whole\.db: 1 of 61 recordings could not be read"):
        embed(str(field), str(whole), str(folder / "model.pt"), params=str(folder / "params.yaml"), strict=True)
    assert f"({N} new), {11 * N} windows of 0.5 s, 192 dimensions" in capsys.readouterr().out
    assert store.read_bytes() == whole.read_bytes()


SLOW = """
from lib.config.command_line import run_stage
from lib.core import incremental
from stages.embed import embed
incremental.COMMIT_SECONDS = 0
run_stage(embed)
"""


def n_embedded(path):
    try:
        with EmbeddingStore(path) as store:
            return len(store.keys())
    except EarshotError:  # it is not there yet, or locked for the moment
        return 0
