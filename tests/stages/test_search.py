"""embed, search and export as their user runs them, on recordings in which each class has a pitch of its own."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import matplotlib.image
import pytest

from lib.curation.embedding_store import EmbeddingStore
from lib.errors import EarshotError, SettingsError
from stages.embed import embed
from stages.search import search
from tests.database.builders import AUDIO, RATE, extract_folder, write_data_set, write_params
from tests.models.builders import save_random_model
from tests.recordings import sine, write

N = 100

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
def run(folder, tmp_path, capsys):
    """A function that searches and returns the rows found, and what was printed."""

    def run(query="mid.wav", **arguments):
        paths = {"model": folder / "model.pt", "params": folder / "params.yaml", "output": tmp_path / "found"}
        if "database" not in arguments:
            paths["store"] = tmp_path / "store.db"
        search(
            str(folder / query) if query.endswith(".wav") else query,
            **{name: str(path) for name, path in paths.items()} | arguments,
        )
        with (tmp_path / "found/results.csv").open(newline="") as file:
            return list(csv.DictReader(file)), capsys.readouterr().out

    return run


def recordings(folder):
    return str(folder / "set/recordings")


def is_mid(folder, row):
    """Whether an annotation of class mid overlaps the window."""
    with (folder / "set/annotations.csv").open(newline="") as file:
        return any(
            event["recording"] == row["recording"]
            and event["class"] == "mid"
            and float(event["start_time"]) < float(row["end_time"])
            and float(event["end_time"]) > float(row["start_time"])
            for event in csv.DictReader(file)
        )


def test_folder_is_embedded_and_searched(folder, run, tmp_path):
    rows, shown = run(recordings=recordings(folder), max=3)
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    assert all(is_mid(folder, row) for row in rows)
    similarities = [float(row["similarity"]) for row in rows]
    assert similarities == sorted(similarities, reverse=True)
    assert rows[0]["path"] in shown and "3 of 44 windows, in " in shown
    with EmbeddingStore(tmp_path / "store.db") as store:
        assert sorted(store.keys()) == ["r00", "r01", "r02", "r03"]
    again, _ = run(max=3)
    assert again == rows
    distinct, _ = run(max=9, distinct=True)
    assert len({row["recording"] for row in distinct}) == len(distinct) == 4
    some, shown = run(recordings=recordings(folder) + "/r02.wav", max=1)
    assert some[0]["recording"] == "r02" and "1 of 11 windows" in shown


def test_query_in_the_store_does_not_find_itself(folder, run):
    rows, _ = run(recordings=recordings(folder), max=1)
    name, start = rows[0]["recording"], rows[0]["start_time"]
    for query in (name, f"set/recordings/{name}.wav"):
        rows, _ = run(query, start=start, max=20)
        near = [row for row in rows if row["recording"] == name and abs(float(row["start_time"]) - float(start)) < 0.49]
        assert rows and not near


def test_pictures_are_named_by_recording_and_start_and_those_of_an_earlier_search_go(folder, run, tmp_path):
    for mine, n in (("mine.png", 4), ("mine.png", 2)):
        (tmp_path / "found").mkdir(exist_ok=True)
        (tmp_path / "found" / mine).write_bytes(b"")
        rows, _ = run(recordings=recordings(folder), max=n, plot=True)
        names = {f"{row['recording']}-{float(row['start_time']):.2f}.png" for row in rows}
        assert {path.name for path in (tmp_path / "found").iterdir()} == {*names, "mine.png", "results.csv"}
    for name in names:
        shown = matplotlib.image.imread(tmp_path / "found" / name)
        assert shown.shape == (4 * 16, 4 * 40, 4) and shown[..., :3].std() > 0.05


def test_database_is_searched_by_class(folder, run, tmp_path):
    extract_folder(folder / "set", tmp_path / "training.db")
    database = {"database": str(tmp_path / "training.db")}
    with pytest.raises(EarshotError, match="have no embedding; run the embed stage with --database"):
        run(**database)
    embed(model=str(folder / "model.pt"), params=str(folder / "params.yaml"), **database)
    rows, _ = run(**database, max=3, plot=True)
    assert all(is_mid(folder, row) for row in rows)
    assert rows[0]["path"] == f"recordings/{rows[0]['recording']}.wav"
    assert len(list((tmp_path / "found").glob("*.png"))) == 3
    low, _ = run(**database, max=3, class_name="low")
    save_random_model(tmp_path / "other.pt", AUDIO, ["high", "low", "mid"], seed=2)
    with pytest.raises(EarshotError, match=r"training\.db: its embeddings were made by another model than .*other\.pt"):
        run(**database, model=str(tmp_path / "other.pt"))
    assert float(low[0]["similarity"]) < float(rows[0]["similarity"])


def test_wrong_arguments_are_one_line_each(folder, run, tmp_path):
    for arguments, line in (
        ({"start": "1:x"}, "--start = '1:x': must be seconds, m:ss or h:mm:ss"),
        ({"max": 0}, "--max 0: must be 1 or more"),
        ({"recordings": "a", "database": "b"}, "give --recordings or --database, not both: what to search"),
    ):
        with pytest.raises(SettingsError) as caught:
            run(**arguments)
        assert str(caught.value) == line
    with pytest.raises(EarshotError, match=r"store\.db: no such store of embeddings; run the embed stage first"):
        run()
    run(recordings=recordings(folder))
    with pytest.raises(EarshotError, match="owl: is neither a file nor the name of a recording there"):
        run("owl")
    with pytest.raises(SettingsError, match="give either --recordings or --database"):
        embed(params=str(folder / "params.yaml"))


def test_killed_embedding_goes_on(folder, tmp_path, run_stage, capsys):
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
    while not (store.exists() and len(_names(store)) > 20):
        assert process.poll() is None and time.monotonic() < deadline, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    n_done = len(_names(store))
    assert 20 < n_done < N
    status, output, errors = run_stage("embed", *flags, f"--output={store}")
    assert status == 0 and f"{N} of {N + 1} recordings ({N - n_done} new)" in output
    assert errors.count("warning: ") == 1 and "999.wav: " in errors
    with pytest.raises(EarshotError, match=r"whole\.db: 1 of 101 recordings could not be read"):
        embed(str(field), str(whole), str(folder / "model.pt"), params=str(folder / "params.yaml"), strict=True)
    output = capsys.readouterr().out
    assert f"({N} new), {11 * N} windows of 0.5 s, 192 dimensions" in output
    assert _vectors(store) == _vectors(whole)


SLOW = """
from lib.curation import embedding_store
embedding_store.COMMIT_SECONDS = 0
from lib.console import run_stage
from stages.embed import embed
run_stage(embed)
"""


def _names(path):
    try:
        with EmbeddingStore(path) as store:
            return store.keys()
    except EarshotError:  # locked for the moment
        return {}


def _vectors(path):
    with EmbeddingStore(path) as store:
        return [
            (store.recording(int(i)).name, t, v.tobytes()) for p in store.pieces() for i, t, v in zip(*p, strict=True)
        ]
