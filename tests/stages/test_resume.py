"""Stages that are killed, as real processes, and run again end as if they had never been interrupted."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

from lib.core.wording import counted
from lib.models.checkpoints import load_checkpoint
from lib.models.description import read_description
from stages.extract import extract
from stages.train import train
from tests.training_data.builders import SMALL_WINDOWS, dump, write_data_set, write_params
from tests.waiting import wait_until

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
        train=quick | {"val_fraction": 0.2, "augmentations": SMALL_WINDOWS},
        infer={"overlap": 0.46, "device": "cpu", "precision": "32"},
    )


def kill_when(condition, stage, **arguments):
    """Start `python -m stages.STAGE` and kill it as soon as the condition holds."""
    flags = [f"--{name}={value}" for name, value in arguments.items()]
    process = subprocess.Popen([sys.executable, "-m", f"stages.{stage}", *flags], stderr=subprocess.PIPE, text=True)
    wait_until(lambda: condition() or process.poll() is not None, 120)
    assert process.poll() is None, f"ended before it could be killed: {process.stderr.read()}"
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


@pytest.fixture(scope="module")
def training_database(params):
    """The windows of ten recordings."""
    database = params.with_name("training.db")
    files = {"database": str(database), "metrics": str(params.with_name("extract.json"))}
    extract(**files, params=str(params), **{"data.train.include": "r0*"})
    return database


@pytest.fixture
def arguments(training_database, params, tmp_path):
    """A function that gives the arguments of a training that writes to a folder of that name."""

    def arguments(name):
        files = {"model": "model.pt", "metrics": "train.json", "curves": "train.csv", "state": "state"}
        paths = {key: str(tmp_path / name / file) for key, file in files.items()}
        return paths | {"database": str(training_database), "params": str(params)}

    return arguments


def assert_same_training(folder, other):
    for file in ("model.pt", "model.json", "train.csv", "train.json"):
        assert (folder / file).read_bytes() == (other / file).read_bytes()


def test_killed_training_ends_like_an_undisturbed_one(arguments, tmp_path, monkeypatch):
    state = tmp_path / "killed/state"
    kill_when(state.exists, "train", **arguments("killed"))
    assert not (tmp_path / "killed/model.pt").exists()
    train(**arguments("killed"))
    assert not state.exists()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "whole"))  # or the model would be taken from the cache
    train(**arguments("whole"))
    assert_same_training(tmp_path / "killed", tmp_path / "whole")


class Training:
    """`python -m stages.train` in a terminal of its own, where Ctrl-C reaches all its processes."""

    def __init__(self, **arguments):
        command = [sys.executable, "-m", "stages.train", *(f"--{name}={value}" for name, value in arguments.items())]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, start_new_session=True, **pipes)

    def press_ctrl_c(self) -> None:
        os.killpg(self.process.pid, signal.SIGINT)

    def wait_for(self, stream, text):
        for line in stream:
            if text in line:
                return
        pytest.fail(f"ended before {text!r}: {self.process.communicate()}")

    def wait_for_epoch(self) -> None:
        self.wait_for(self.process.stdout, "epoch 1:")

    def readers(self) -> list[int]:
        """The numbers of the processes that read batches, those of an epoch."""
        return [
            int(pid) for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        ]

    def cpu_time(self) -> list[str]:
        """Of the process itself, not of its readers."""
        return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]

    def hold_within_a_batch(self) -> None:
        """Stop the readers and wait until the training has nothing left to do but to wait for them."""

        def is_held() -> bool:
            for pid in (readers := self.readers()):
                os.kill(pid, signal.SIGSTOP)
            before = self.cpu_time()
            time.sleep(0.5)
            return bool(readers) and self.readers() == readers and self.cpu_time() == before

        wait_until(is_held)

    def ended(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=120)
        return self.process.returncode, out, err


def test_ctrl_c_saves_the_best_epoch_and_the_same_command_resumes(arguments, tmp_path, monkeypatch, capsys):
    many = {"epochs": 12}
    training = Training(**arguments("stopped"), **many, workers=1)
    training.wait_for_epoch()
    training.press_ctrl_c()
    status, out, err = training.ended()
    assert status == 0 and "stopping after this batch" in err and "Traceback" not in err
    assert "of 12 (the same command resumes): " in out and "the best so far -> " in out
    description = read_description(tmp_path / "stopped/model.pt")
    rows = pd.read_csv(tmp_path / "stopped/train.csv")
    assert len(rows) < 12 and description.training["epochs"] == rows["val_loss"].argmin() + 1
    assert description.training["interrupted"]
    metrics = json.loads((tmp_path / "stopped/train.json").read_text())
    assert metrics["epoch"] == description.training["epochs"]
    assert load_checkpoint(tmp_path / "stopped/model.pt")[1] == description
    train(**arguments("stopped"), **many)
    assert f"resumed after {counted(len(rows), 'epoch')}" in capsys.readouterr().out
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "whole"))
    train(**arguments("whole"), **many)
    assert_same_training(tmp_path / "stopped", tmp_path / "whole")
    assert not (tmp_path / "stopped/state").exists()


def test_ctrl_c_twice_ends_at_once_writes_nothing_and_the_same_command_resumes(arguments, tmp_path, capsys):
    long = {"epochs": 2, "epoch_windows": 1600}
    training = Training(**arguments("stopped"), **long, workers=1)
    training.wait_for_epoch()
    training.hold_within_a_batch()
    training.press_ctrl_c()
    training.wait_for(training.process.stderr, "press Ctrl-C again")
    training.press_ctrl_c()
    for pid in training.readers():
        os.kill(pid, signal.SIGCONT)
    status, _, err = training.ended()
    assert status == 130 and "stopped; run the same command again to resume" in err and "Traceback" not in err
    assert [path.name for path in (tmp_path / "stopped").iterdir()] == ["state"]
    train(**arguments("stopped"), **long)
    assert "resumed after 1 epoch:" in capsys.readouterr().out
    assert (tmp_path / "stopped/model.pt").is_file()


def test_ctrl_c_in_the_first_epoch_says_that_there_is_nothing_to_save(arguments, tmp_path):
    training = Training(**arguments("stopped"), workers=1, epoch_windows=100_000)
    wait_until(training.readers)
    training.press_ctrl_c()
    status, out, err = training.ended()
    assert status == 130 and "stopped before an epoch was complete, so there is no model to save" in err
    assert out == "" and "Traceback" not in err and not list(tmp_path.glob("stopped/*"))
