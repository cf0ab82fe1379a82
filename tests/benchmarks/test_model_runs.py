"""Model runs of a million predictions: what is stored, found and matched, and how much memory a commit takes.

`make benchmark` prints times as well; nothing asserts them, since they depend on the machine and its load.
"""

import json
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from lib.evaluation.matches_store import MATCHES_FILE
from lib.results.predictions import Prediction
from lib.results.results_store import ResultsStore
from lib.tracking.model_runs.model_run import ModelRun

pytestmark = pytest.mark.benchmark

ROOT = Path(__file__).parents[2]
RECORDINGS, CLASSES, SECONDS = 1000, 50, 600
PREDICTIONS, ANNOTATIONS, LOOKUPS = 1_000_000, 200_000, 1000
LARGEST_PEAK = 2000
"""MB that a commit may take."""
STEP = r"""
import json, re, statistics, sys, time
from pathlib import Path
from lib import ModelRun
from tests.benchmarks.test_model_runs import LOOKUPS, PREDICTIONS, predictions

step, folder, data_set, variant = sys.argv[1:]
with ModelRun(folder, data_set) as run:
    if step == "predict":
        given = list(predictions(PREDICTIONS, variant == "ids"))
        calls = [lambda: run.predict(given)]
    elif step == "predict 10":
        given = list(predictions(10 * LOOKUPS, variant == "ids"))
        calls = [lambda i=i: run.predict(given[i : i + 10]) for i in range(0, len(given), 10)]
    elif step == "refloc":
        names = [each.reference_id for each in predictions(LOOKUPS, True)]
        run.refloc(names[0])  # reads the data set
        calls = [lambda name=name: [name, len(run.refloc(name))] for name in names]
    elif step == "prediction_loc":
        given = list(predictions(LOOKUPS, True))
        run.refloc(given[0].reference_id)
        calls = [lambda each=each: run.prediction_loc(each.reference_id, each.annotation_id) == each for each in given]
    else:
        calls = [lambda: run.commit({"class_agnostic": variant == "agnostic"})]
    outcomes, milliseconds, busy = [], [], time.process_time()
    for call in calls:
        begin = time.perf_counter()
        outcomes.append(call())
        milliseconds.append((time.perf_counter() - begin) * 1000)
    busy = time.process_time() - busy
    # ru_maxrss would begin with the peak of the process that started this one.
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
each = f"median {statistics.median(milliseconds):.2f} ms of {len(calls):,} calls, " if len(calls) > 1 else ""
seconds = f"{sum(milliseconds) / 1000:.1f} s ({busy:.1f} s of processor time)"
print(f"{f'{step} {variant}'.strip()}: {each}{seconds}, {peak:.0f} MB", file=sys.stderr)
print(json.dumps({"outcomes": outcomes, "peak": peak}))
"""


def recording_name(number: int) -> str:
    return f"r{number:04}"


def class_name(number: int) -> str:
    return f"class {number:02}"


def sounds(n: int, seed: int) -> pd.DataFrame:
    """n events of random recordings, classes and times."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, SECONDS - 5, n).round(3)
    return pd.DataFrame(
        {
            "recording": rng.integers(0, RECORDINGS, n),
            "class": rng.integers(0, CLASSES, n),
            "start_time": start,
            "end_time": (start + rng.uniform(0.5, 5, n)).round(3),
        }
    )


def predictions(n: int, with_ids: bool) -> Iterator[Prediction]:
    """The first n predictions of the run."""
    for number, (recording, label, start, end) in enumerate(sounds(PREDICTIONS, 2)[:n].itertuples(index=False)):
        annotation_id = f"call {number}" if with_ids else None
        yield Prediction(class_name(label), recording_name(recording), start, end, 0.5, annotation_id)


@pytest.fixture(scope="module")
def data_set(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    (folder / "recordings").mkdir()
    for number in range(RECORDINGS):
        soundfile.write(folder / f"recordings/{recording_name(number)}.wav", np.zeros(SECONDS * 100, np.int16), 100)
    table = sounds(ANNOTATIONS, 1)
    names = {"recording": table["recording"].map(recording_name), "class": table["class"].map(class_name)}
    table.assign(**names).to_csv(folder / "annotations.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def runs(data_set, tmp_path_factory) -> Path:
    """A folder of empty runs: ids, numbers and calls."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("ids", "numbers", "calls"):
        ModelRun.create(folder / name, data_set).close()
    print(f"\n{PREDICTIONS:,} predictions, {ANNOTATIONS:,} annotations, {RECORDINGS:,} recordings")
    return folder


@pytest.fixture(scope="module")
def stored(runs, data_set) -> Path:
    """The folder of a run with all predictions."""
    (counts,), _ = take("predict", runs / "ids", data_set, "ids")
    assert (counts["predictions_processed"], counts["predictions_ignored"]) == (PREDICTIONS, 0)
    print(f"results.db: {(runs / 'ids/results.db').stat().st_size / 1e6:.0f} MB")
    return runs / "ids"


def take(step: str, run: Path, data_set: Path, variant: str = "") -> tuple[list, float]:
    """Take a step in a process of its own, which prints its figures; returns the outcomes of its calls and its peak."""
    command = [sys.executable, "-c", STEP, step, str(run), str(data_set), variant]
    result = json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout)
    return result["outcomes"], result["peak"]


def n_labels(folder: Path) -> Counter[str]:
    with ResultsStore(folder) as store:
        return Counter({name: result.n_labels for name, result in store.recordings().items()})


def test_all_predictions_are_stored_with_ids_and_without(stored, runs, data_set):
    expected = Counter(sounds(PREDICTIONS, 2)["recording"].map(recording_name))
    assert n_labels(stored) == expected
    (counts,), _ = take("predict", runs / "numbers", data_set, "numbers")
    assert counts["predictions_processed"] == PREDICTIONS and n_labels(runs / "numbers") == expected


def test_many_small_calls_store_and_skip_as_one_does(runs, data_set):
    for processed in (10, 0):
        outcomes, _ = take("predict 10", runs / "calls", data_set, "ids")
        counts = [(each["predictions_processed"], each["predictions_ignored"]) for each in outcomes]
        assert counts == [(processed, 10 - processed)] * LOOKUPS
    assert n_labels(runs / "calls").total() == 10 * LOOKUPS


def test_predictions_are_found_by_recording_and_by_id(stored, data_set):
    expected = n_labels(stored)
    outcomes, _ = take("refloc", stored, data_set)
    assert len(outcomes) == LOOKUPS and all(expected[name] == n for name, n in outcomes)
    outcomes, _ = take("prediction_loc", stored, data_set)
    assert outcomes == [True] * LOOKUPS


@pytest.mark.parametrize("variant", ["agnostic", "by class"])
def test_a_commit_matches_as_many_as_possible_in_little_memory(stored, data_set, variant):
    _, peak = take("commit", stored, data_set, variant)
    with closing(sqlite3.connect(stored / MATCHES_FILE)) as connection:
        query = "SELECT count(*), count(Annotation), count(Label), count(IoU), min(IoU) FROM Match"
        n_rows, n_annotations, n_predictions, n_pairs, least = connection.execute(query).fetchone()
        query = "SELECT Recording, count(IoU) FROM Match GROUP BY Recording"
        pairs = dict(connection.execute(query).fetchall())
    print(f"{variant}: {n_pairs:,} pairs")
    assert (n_annotations, n_predictions) == (ANNOTATIONS, PREDICTIONS)
    assert n_rows == ANNOTATIONS + PREDICTIONS - n_pairs and least >= 0.5 - 1e-6
    annotated, found = sounds(ANNOTATIONS, 1), sounds(PREDICTIONS, 2)
    for number in range(0, RECORDINGS, 200):
        sides = (table[table["recording"] == number] for table in (annotated, found))
        assert pairs[recording_name(number)] == most_pairs(*sides, variant == "agnostic")
    assert peak < LARGEST_PEAK


def most_pairs(annotated: pd.DataFrame, found: pd.DataFrame, is_agnostic: bool) -> int:
    """How many pairs of an IoU of 0.5 or more one-to-one matching can make, from all IoUs of a recording."""
    start, end, label = (annotated[name].to_numpy()[:, None] for name in ("start_time", "end_time", "class"))
    begin, stop, other = (found[name].to_numpy() for name in ("start_time", "end_time", "class"))
    shared = np.minimum(end, stop) - np.maximum(start, begin)
    iou = shared / (end - start + stop - begin - shared)
    allowed = (iou >= 0.5 - 1e-6) & (is_agnostic | (label == other))
    return int((maximum_bipartite_matching(csr_array(allowed), perm_type="column") >= 0).sum())
