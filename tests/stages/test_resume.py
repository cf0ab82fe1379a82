"""Stages that are killed, as real processes, and run again end as if they had never been interrupted."""

import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
import torch

from stages.extract import extract
from stages.train import train
from tests.training_data.builders import dump, write_data_set, write_params

N_RECORDINGS = 160


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """Stages run outside of the pipeline, with caches of their own, and in one thread: sums depend on their number."""
    monkeypatch.delenv("DVC_STAGE", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # of the processes that are killed
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
    quick = {"epochs": 3, "epoch_windows": 200, "batch_size": 16, "device": "cpu", "precision": "32"}
    return write_params(
        data_set.parent / "params.yaml",
        data_set,
        train=quick | {"val_fraction": 0.2, "time_mask_seconds": 0.05},
        infer={"overlap": 0.46, "device": "cpu", "precision": "32"},
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


def count(database, table="Recording"):
    """Rows of a table that were committed."""
    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5) as connection:
            return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    except sqlite3.OperationalError:  # it is not there yet, or has no tables
        return 0


def n_new_in(capsys):
    return int(capsys.readouterr().out.split("(")[1].split(" new")[0])


def test_killed_extraction_ends_like_an_undisturbed_one(data_set, params, tmp_path, capsys):
    database, whole = tmp_path / "training.db", tmp_path / "whole.db"
    arguments = {"database": str(database), "metrics": str(tmp_path / "metrics.json"), "params": str(params)}
    arguments["overlap"] = 0.49  # so that it takes several times as long as it takes until a first commit
    kill_when(lambda: count(database), "extract", **arguments)
    assert 0 < count(database) < N_RECORDINGS
    extract(**arguments)
    assert 0 < n_new_in(capsys) < N_RECORDINGS
    extract(**arguments | {"database": str(whole), "metrics": str(tmp_path / "whole.json")})
    assert (tmp_path / "metrics.json").read_text() == (tmp_path / "whole.json").read_text()
    assert database.read_bytes() == whole.read_bytes()


def test_killed_extraction_of_other_classes_can_be_undone(params, tmp_path):
    folder, database = write_data_set(tmp_path / "set", 3), tmp_path / "training.db"
    text = (folder / "annotations.csv").read_text()
    arguments = {"database": str(database), "metrics": str(tmp_path / "metrics.json"), "params": str(params)}
    arguments |= {"data.train.path": str(folder), "data.train.include": "r0[0-2]"}
    extract(**arguments)
    before = dump(database)
    (folder / "annotations.csv").write_text(f"{text}r03,other,0,1\n".replace("low", "other"))
    os.mkfifo(folder / "recordings/r03.wav")  # the run waits for its content
    changed = arguments | {"data.train.include": "r*"}
    kill_when(lambda: count(database, "Class WHERE Name = 'other'"), "extract", **changed)
    (folder / "annotations.csv").write_text(text)
    extract(**arguments)
    assert dump(database) == before


def test_killed_training_ends_like_an_undisturbed_one(params, tmp_path, monkeypatch):
    database = tmp_path / "training.db"
    files = {"database": str(database), "metrics": str(tmp_path / "extract.json")}
    extract(**files, params=str(params), **{"data.train.include": "r0*"})

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
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "whole"))  # or the model would be taken from the cache
    train(**arguments("whole"))
    for file in ("model.pt", "model.json", "train.csv", "train.json"):
        assert (tmp_path / "killed" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
