"""How long whole processes take and how much memory they need, beside a peer's on the same files in the same run.

`make benchmark` prints the table; nothing here asserts a time. Peers run from the scripts in ../shared/bench, if they
are there; the ratio is that of the medians. RUNS=5 in the environment repeats each measurement five times.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytestmark = pytest.mark.benchmark

ROOT = Path(__file__).parents[2]
BENCH = ROOT.parent / "shared" / "bench"
DAWN = ROOT.parent / "shared" / "data" / "field" / "birds_dawn_120s_48k.flac"
CLASSES = ROOT.parent / "shared" / "data" / "soundscapes" / "train"
RUNS = int(os.environ.get("RUNS", "3"))


@pytest.fixture(scope="module")
def table():
    rows: list[tuple[str, str, str, str]] = [("work", "wall, s", "peak, MB", "peer / ours")]
    yield rows
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    print("\n\n" + "\n".join(lines))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    """A model of the default settings; how well it recognizes does not matter here."""
    if not CLASSES.is_dir():
        pytest.skip(f"{CLASSES} is missing")
    database, model = folder / "classes.db", folder / "models" / "model.pt"
    stage("extract", "--database", database, "--metrics", folder / "e.json", "--data.train.path", CLASSES)
    outputs = ["--metrics", folder / "t.json", "--curves", folder / "t.csv", "--state", folder / "state"]
    stage("train", "--database", database, "--model", model, *outputs, "--epochs", 1, "--epoch_windows", 0)
    return model.parent


def stage(name: str, *arguments: object) -> tuple[float, float]:
    return measure([sys.executable, "-m", f"stages.{name}", *map(str, arguments)])


def measure(command: list[str]) -> tuple[float, float]:
    """Seconds of wall clock and peak resident memory (MB) of a process, which must succeed."""
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, output.decode()
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def peer(script: str, *arguments: object) -> float:
    """Seconds of wall clock that the peer's script measured."""
    process = subprocess.run(
        ["bash", str(BENCH / script), *map(str, arguments)], capture_output=True, text=True, check=True
    )
    return json.loads(process.stdout.strip().splitlines()[-1])["wall_s"]


def compare(table, work: str, ours, theirs) -> None:
    """Run both in turn, and add a row of medians to the table."""
    times, peaks, peer_times = [], [], []
    for _ in range(RUNS):
        seconds, peak = ours()
        times.append(seconds)
        peaks.append(peak)
        if BENCH.is_dir():
            peer_times.append(theirs())
    ratio = f"{statistics.median(peer_times) / statistics.median(times):.2f}" if peer_times else "no peer"
    table.append((work, f"{statistics.median(times):.2f}", f"{max(peaks):.0f}", ratio))


def long_recording(path: Path, minutes: int) -> Path:
    """The dawn chorus, again and again, shifted each time."""
    if not DAWN.is_file():
        pytest.skip(f"{DAWN} is missing")
    samples, rate = soundfile.read(DAWN, dtype="int16")
    with soundfile.SoundFile(path, "w", rate, 1, format="FLAC") as file:
        for i in range(minutes // 2):
            file.write(np.roll(samples, i * 7919))
    return path


def infer(recording: Path, output: Path, model: Path) -> tuple[float, float]:
    shutil.rmtree(output, ignore_errors=True)
    return stage("infer", "--recordings", recording, "--output", output, "--model", model, "--overlap", 0)


def test_infer_of_an_hour(table, folder, model):
    hour = long_recording(folder / "hour.flac", 60)
    compare(
        table,
        "infer, 1 h of 48 kHz FLAC",
        lambda: infer(hour, folder / "labels", model),
        lambda: peer("britekit_infer.sh", hour),
    )


def test_extract_of_two_hours(table, folder):
    recordings = folder / "clips" / "Any"
    recordings.mkdir(parents=True)
    for i in range(12):
        long_recording(recordings / f"r{i:02}.flac", 10)
    database = folder / "two_hours.db"

    def extract() -> tuple[float, float]:
        database.unlink(missing_ok=True)
        outputs = ["--database", database, "--metrics", folder / "x.json"]
        return stage("extract", *outputs, "--data.train.path", recordings.parent, "--overlap", 0)

    compare(table, "extract, 2 h in 12 recordings", extract, lambda: peer("britekit_extract.sh", recordings))


def test_memory_of_infer_does_not_grow_with_the_recording(table, folder, model):
    peaks = []
    for hours in (1, 8):
        seconds, peak = infer(long_recording(folder / f"{hours}h.flac", 60 * hours), folder / f"l{hours}", model)
        table.append((f"infer, memory at {hours} h", f"{seconds:.2f}", f"{peak:.0f}", ""))
        peaks.append(peak)
    assert peaks[1] <= 1024
    assert peaks[1] <= 1.1 * peaks[0]


def test_repro_with_nothing_to_do(table):
    if subprocess.run(["dvc", "status", "-q"], cwd=ROOT).returncode:
        pytest.skip("the pipeline is not up to date: run `make run` first")
    times = [measure(["dvc", "repro"])[0] for _ in range(RUNS)]
    table.append(("dvc repro, nothing to do", f"{statistics.median(times):.2f}", "", ""))
