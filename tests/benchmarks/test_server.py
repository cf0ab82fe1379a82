"""The server under load: 50 clients for a minute, from a second process, beside `infer` on the same files.

`make benchmark` prints the figures. What is asserted is that no accepted request fails, that answers are right, and
that memory does not grow; times and rates are only printed. CLIENTS and SECONDS in the environment change the load.
"""

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import torch

from lib.config.schema import AudioSettings
from lib.models.checkpoints import save_checkpoint
from lib.models.recognizer import build
from tests.models.builders import describe
from tests.recordings import noise, write
from tests.server.server_process import PROJECT, ServerProcess
from tests.training_data.builders import write_params

pytestmark = pytest.mark.benchmark

CLIENTS, SECONDS = int(os.environ.get("CLIENTS", "50")), float(os.environ.get("SECONDS", "60"))
N_FILES, CLIP_SECONDS, RATE = 240, 10.0, 32000


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A model of the default settings, and clips of 10 s; how well it recognizes does not matter here."""
    folder = tmp_path_factory.mktemp("load")
    torch.manual_seed(1)
    description = describe(AudioSettings(), [f"class {number}" for number in range(11)])
    (folder / "models").mkdir()
    save_checkpoint(folder / "models/model.pt", build(description), description)
    for number in range(N_FILES):
        write(folder / f"data/{number:03}.wav", noise(CLIP_SECONDS, RATE, number), RATE)
    write(folder / "one/one.wav", noise(CLIP_SECONDS, RATE), RATE)
    return folder


def params(folder: Path) -> Path:
    places = {"model_dir": str(folder / "models"), "data_dir": str(folder / "data")}
    sections = {"audio": AudioSettings().model_dump(), "infer": {"device": "cpu"}, "serve": places}
    return write_params(folder / "params.yaml", folder / "data", **sections)


def infer(folder: Path, recordings: Path) -> float:
    """Seconds of wall clock of the infer stage."""
    output = folder / f"labels of {recordings.name}"
    flags = ["--params", params(folder), "--recordings", recordings, "--output", output, "--model", folder / "models"]
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-m", "stages.infer", *map(str, flags)], cwd=PROJECT, check=True)
    return time.perf_counter() - begin


def memory_mb(process: psutil.Process) -> float:
    """Of a process and all of its children."""
    total = 0
    for each in (process, *process.children(recursive=True)):
        try:
            total += each.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 2**20


def test_fifty_clients_for_a_minute(folder):
    alone, together = infer(folder, folder / "one"), infer(folder, folder / "data")
    offline = (N_FILES - 1) * CLIP_SECONDS / (together - alone)  # without its start, which the server has behind it
    memory, is_over = list[float](), threading.Event()
    with ServerProcess(params(folder)) as server:

        def watch() -> None:
            process = psutil.Process(server.process.pid)
            while not is_over.wait(0.5):
                memory.append(memory_mb(process))

        watching = threading.Thread(target=watch)
        files = sorted(map(str, (folder / "data").iterdir()))
        expected = {Path(file).name: server.predict(Path(file)).text for file in files}
        watching.start()
        command = [sys.executable, "-m", "tests.server.load", server.url, "model.pt", str(CLIENTS), str(SECONDS)]
        begin = time.perf_counter()
        done = subprocess.run([*command, *files], cwd=PROJECT, capture_output=True, text=True, check=True)
        seconds = time.perf_counter() - begin
        is_over.set()
        watching.join()
        batches = server.metric("earshot_batch_windows_sum") / server.metric("earshot_batch_windows_count")
        assert server.stop() == 0
    outcome = json.loads(done.stdout)
    durations = outcome["durations"]
    online = len(durations) * CLIP_SECONDS / seconds
    early, late = (statistics.mean(part) for part in (memory[len(memory) // 4 : len(memory) // 2], memory[-20:]))
    n_refused = sum(n for answer, n in outcome["answers"].items() if answer.startswith("429"))
    print(f"\n{CLIENTS} clients, {SECONDS:g} s: {len(durations):,} requests answered, {n_refused:,} told to come back")
    print(f"seconds: median {statistics.median(durations):.2f}, 99 % {durations[int(0.99 * len(durations))]:.2f}")
    print(
        f"sound: {online:.0f}x real time; infer {offline:.0f}x ({online / offline:.0%}); {batches:.1f} windows a batch"
    )
    print(f"memory with decoders: {early:.0f} MB early, {late:.0f} MB late")
    for answer in outcome["answers"]:
        status, name, content = answer.split(" ", 2)
        assert status in ("200", "429")
        assert status == "429" or content == expected[name]
    assert late <= 1.1 * early
