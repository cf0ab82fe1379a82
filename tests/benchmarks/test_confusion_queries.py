"""How fast confusion queries and metrics of a million predictions are answered, and how long matching them takes once.

Wanted: under a second, once they are matched. `make benchmark` prints the figures; nothing here asserts a time.
"""

import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from lib.curation.metrics.confusion_queries import KINDS
from lib.curation.metrics.metrics_manager import MetricsManager
from lib.results.results_store import PartialResult, ResultsStore
from lib.sound.labels import Label
from tests.curation.curation_projects import FOUND, PROJECT, TRUTH, make_client
from tests.results.builders import make_manifest

pytestmark = pytest.mark.benchmark

RECORDINGS, CLASSES, SECONDS = 1000, 50, 600
PREDICTIONS, ANNOTATIONS = 1_000_000, 200_000


def sounds(n: int, seed: int) -> pd.DataFrame:
    """n events of random recordings, classes and times."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, SECONDS - 5, n).round(3)
    return pd.DataFrame(
        {
            "recording": [f"r{number:04}" for number in rng.integers(0, RECORDINGS, n)],
            "class": [f"class {number:02}" for number in rng.integers(0, CLASSES, n)],
            "start_time": start,
            "end_time": (start + rng.uniform(0.5, 5, n)).round(3),
        }
    )


def timed(what: str, work: Callable):
    begin, busy = time.perf_counter(), time.process_time()
    result = work()
    spent = time.perf_counter() - begin, time.process_time() - busy
    print(f"{what}: {spent[0]:.2f} s ({spent[1]:.2f} s of processor time)")
    return result


def test_queries_of_a_million_predictions(tmp_path):
    (tmp_path / "test/recordings").mkdir(parents=True)
    for number in range(RECORDINGS):
        soundfile.write(tmp_path / f"test/recordings/r{number:04}.wav", np.zeros(SECONDS * 100, np.int16), 100)
    sounds(ANNOTATIONS, 1).to_csv(tmp_path / "test/annotations.csv", index=False)
    manifest = make_manifest([f"class {number:02}" for number in range(CLASSES)])
    scores, nothing = np.random.default_rng(3).random(PREDICTIONS), np.zeros((0, CLASSES), np.float32)
    found = sounds(PREDICTIONS, 2).assign(score=scores)
    with ResultsStore(tmp_path / "labels", manifest) as store:
        for name, rows in found.groupby("recording"):
            labels = [Label(*row) for row in rows.drop(columns="recording").itertuples(index=False)]
            store.write(name, f"{name}.wav", name, [PartialResult(nothing, labels, float(SECONDS))], [], [])
        store.finish(pack=False)
    client = make_client(tmp_path)
    print(f"\n{PREDICTIONS:,} predictions, {ANNOTATIONS:,} annotations, {RECORDINGS:,} recordings, {CLASSES} classes")
    whole = timed("matched", lambda: MetricsManager(client, PROJECT).get_metrics(TRUTH, FOUND, 0, 50))
    assert whole[0]["figures"].support == ANNOTATIONS
    metrics = MetricsManager(client, PROJECT)
    assert timed("metrics, from the file", lambda: metrics.get_metrics(TRUTH, FOUND, 0, 50)) == whole
    timed("metrics of a class, again", lambda: metrics.get_metrics(TRUTH, FOUND, 0, 50, (), "class 07"))
    names = {"confused_as": ["class 07"], "confused_from": ["class 07"], "cell": ["class 07", "class 08"]}
    for kind in KINDS:
        query = getattr(metrics, f"make_{kind}_query")(*names.get(kind, ()))
        for order in ("ORDER_CONF_DESC", "ORDER_IOU_ASC", "ORDER_BOX_SIZE_DESC"):
            opts = {"confidence_threshold": 0, "iou_threshold": 0.5, "queries": [query]}
            opts["ordering"] = getattr(metrics, order)
            page = timed(f"{kind}, {order}", lambda opts=opts: metrics.fetch_confusions(TRUTH, FOUND, opts))
            assert len(page["results"]) == min(page["total"], 10_000)
    size = sum(file.stat().st_size for file in (tmp_path / "curation.db.matches").iterdir())
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
    print(f"file of matches: {size / 1e6:.0f} MB; peak memory {peak:.0f} MB")
