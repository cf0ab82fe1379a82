"""Stages that are killed midway, as real processes, and done again end as if nothing had happened."""

import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
import torch

from lib.errors import EarshotError
from stages.extract import extract
from stages.infer import infer
from stages.train import train
from tests.database.builders import AUDIO, dump, write_data_set, write_params
from tests.models.builders import save_random_model

N_RECORDINGS = 160
SLOW = {"overlap": 0.46}


@pytest.fixture(autouse=True)
def outside_of_the_pipeline(monkeypatch):
    monkeypatch.delenv("DVC_STAGE", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # of the processes that are killed


@pytest.fixture(autouse=True)
def one_thread():
    """Sums depend on how many threads share them, and those of such small models are slower shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    """Many recordings, of which most are the same few files under other names."""
    folder = write_data_set(tmp_path_factory.mktemp("resume") / "set", 10)
    header, *lines = (folder / "annotations.csv").read_text().splitlines()
    for number in range(10, N_RECORDINGS):
        os.link(folder / f"recordings/r{number % 10:02}.wav", folder / f"recordings/r{number:02}.wav")
        lines += [line.replace("r0", f"r{number // 10}", 1) for line in lines[:30] if line[2] == str(number % 10)]
    (folder / "annotations.csv").write_text("\n".join([header, *lines]) + "\n")
    return folder


@pytest.fixture(scope="module")
def params(data_set):
    quick = {"epochs": 6, "epoch_windows": 400, "batch_size": 16, "device": "cpu", "precision": "32"}
    return write_params(
        data_set.parent / "params.yaml",
        data_set,
        train=quick | {"val_fraction": 0.2, "time_mask_seconds": 0.05},
        infer=SLOW | {"device": "cpu", "precision": "32"},
    )


def kill_when(condition, stage, **arguments):
    """Start `python -m stages.STAGE` and kill it as soon as the condition holds."""
    flags = [f"--{name}={value}" for name, value in arguments.items()]
    process = subprocess.Popen([sys.executable, "-m", f"stages.{stage}", *flags], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, f"ended before it could be killed: {process.stderr.read()}"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def count_recordings(database):
    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5) as connection:
            return connection.execute("SELECT count(*) FROM Recording").fetchone()[0]
    except sqlite3.OperationalError:  # it is not there yet, or has no tables
        return 0


def test_killed_extraction_ends_like_an_undisturbed_one(data_set, params, tmp_path, capsys):
    database, whole = tmp_path / "training.db", tmp_path / "whole.db"
    arguments = {"database": str(database), "metrics": str(tmp_path / "metrics.json"), "params": str(params)} | SLOW
    kill_when(lambda: count_recordings(database), "extract", **arguments)
    assert 0 < count_recordings(database) < N_RECORDINGS
    extract(**arguments)
    n_new = int(capsys.readouterr().out.split("(")[1].split(" new")[0])
    assert 0 < n_new < N_RECORDINGS
    extract(**arguments | {"database": str(whole), "metrics": str(tmp_path / "whole.json")})
    assert (tmp_path / "metrics.json").read_text() == (tmp_path / "whole.json").read_text()
    assert dump(database) == dump(whole)


def test_killed_training_ends_like_an_undisturbed_one(params, tmp_path, data_set):
    include = {"data.train.include": "r0*"}
    database = tmp_path / "training.db"
    extract(database=str(database), metrics=str(tmp_path / "extract.json"), params=str(params), **include)

    def arguments(name):
        folder = tmp_path / name
        files = {"model": "model.pt", "metrics": "train.json", "curves": "train.csv", "state": "state"}
        paths = {key: str(folder / file) for key, file in files.items()}
        return paths | {"database": str(database), "params": str(params)}

    state = tmp_path / "killed/state"
    kill_when(state.exists, "train", **arguments("killed"))
    assert not (tmp_path / "killed/model.pt").exists()
    train(**arguments("killed"))
    assert not state.exists()
    train(**arguments("whole"))
    for file in ("model.pt", "model.json", "train.csv", "train.json"):
        assert (tmp_path / "killed" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_missing_database_is_named(params, tmp_path):
    with pytest.raises(EarshotError, match=r"none\.db: no such file; run the extract stage") as caught:
        train(database=str(tmp_path / "none.db"), params=str(params))
    assert "\n" not in str(caught.value)


def test_killed_inference_ends_like_an_undisturbed_one(data_set, params, tmp_path, capsys):
    model, output, whole = tmp_path / "model.pt", tmp_path / "killed", tmp_path / "whole"
    save_random_model(model, AUDIO)
    arguments = {"recordings": str(data_set), "model": str(model), "params": str(params)}
    journal = output / "recordings.csv"
    kill_when(
        lambda: journal.exists() and journal.read_bytes().count(b",ok,") > 20, "infer", output=str(output), **arguments
    )
    assert 20 < journal.read_bytes().count(b",ok,") < N_RECORDINGS
    assert not (output / "scores.csv").exists()
    infer(output=str(output), **arguments)
    n_new = int(capsys.readouterr().out.split("(")[1].split(" new")[0])
    assert 0 < n_new < N_RECORDINGS - 15
    infer(output=str(whole), **arguments)
    first, second = (
        {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (output, whole)
    )
    assert first == second
