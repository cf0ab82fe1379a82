"""How long model runs of a million predictions take. `make benchmark` prints it; nothing asserts a time."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

pytestmark = pytest.mark.benchmark

ROOT = Path(__file__).parents[2]
RECORDINGS, CLASSES, SECONDS = 1000, 50, 600
PREDICTIONS, ANNOTATIONS, LOOKUPS = 1_000_000, 200_000, 1000
WORK = """
import resource, statistics, sys, time
import numpy as np
from lib import ModelRun, Prediction

step, folder, data_set = sys.argv[1:4]
rng = np.random.default_rng(2)
if step in ("predict", "calls"):
    n = {n} if step == "predict" else 10 * {lookups}
    start = rng.uniform(0, {seconds} - 5, n)
    columns = start, start + rng.uniform(0.5, 5, n), rng.integers(0, {recordings}, n), rng.integers(0, {classes}, n)
    rows = zip(*(column.tolist() for column in columns))
    given = [
        Prediction(f"class {{c:02}}", f"r{{r:04}}", a, b, 0.5, f"call {{i}}" if sys.argv[4] == "ids" else None)
        for i, (a, b, r, c) in enumerate(rows)
    ]
    ModelRun.create(folder, data_set).close()
begin, busy = time.perf_counter(), time.process_time()
with ModelRun(folder, data_set) as run:
    if step == "predict":
        run.predict(given)
    elif step == "calls":
        for first in range(0, len(given), 10):
            run.predict(given[first : first + 10])
    elif step == "commit":
        run.commit({{"class_agnostic": sys.argv[4] == "agnostic"}})
    else:
        names = [f"r{{i:04}}" for i in rng.integers(0, {recordings}, {lookups}).tolist()]
        known = {{name: run.refloc(name) for name in dict.fromkeys(names[:100])}}
        found = [known[name][i % len(known[name])] for i, name in enumerate(names[:100])]
        for name, calls in {{
            f"refloc of about {{len(run.refloc(names[0])):,}} predictions": [lambda n=n: run.refloc(n) for n in names],
            "prediction_loc": [lambda p=p: run.prediction_loc(p.reference_id, p.annotation_id) for p in found],
        }}.items():
            times = []
            for call in calls:
                begin = time.perf_counter()
                call()
                times.append((time.perf_counter() - begin) * 1000)
            print(f"{{name}}: median {{statistics.median(times):.2f}} ms, mean {{statistics.mean(times):.2f}} ms")
        raise SystemExit
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
seconds = f"{{time.perf_counter() - begin:.1f}} s ({{time.process_time() - busy:.1f}} s of processor time)"
print(f"{{' '.join([step, *sys.argv[4:]])}}: {{seconds}}, {{peak:.0f}} MB")
"""


@pytest.fixture(scope="module")
def data_set(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    (folder / "recordings").mkdir()
    rng = np.random.default_rng(1)
    for number in range(RECORDINGS):
        soundfile.write(folder / f"recordings/r{number:04}.wav", np.zeros(SECONDS * 100, np.int16), 100)
    start = rng.uniform(0, SECONDS - 5, ANNOTATIONS).round(3)
    table = pd.DataFrame(
        {
            "recording": [f"r{number:04}" for number in rng.integers(0, RECORDINGS, ANNOTATIONS)],
            "class": [f"class {number:02}" for number in rng.integers(0, CLASSES, ANNOTATIONS)],
            "start_time": start,
            "end_time": (start + rng.uniform(0.5, 5, ANNOTATIONS)).round(3),
        }
    )
    table.to_csv(folder / "annotations.csv", index=False)
    return folder


def test_a_million_predictions(data_set, tmp_path):
    sizes = {"n": PREDICTIONS, "lookups": LOOKUPS, "recordings": RECORDINGS}
    code = WORK.format(seconds=SECONDS, classes=CLASSES, **sizes)
    print(f"\n{PREDICTIONS:,} predictions, {ANNOTATIONS:,} annotations, {RECORDINGS:,} recordings")
    steps = [
        *(("predict", "ids", "ids"), ("predict", "numbers", "numbers"), ("calls", "calls", "ids"), ("refloc", "ids")),
        *(("commit", "ids", "agnostic"), ("commit", "ids", "by class")),
    ]
    for step, folder, *arguments in steps:
        command = [sys.executable, "-c", code, step, str(tmp_path / folder), str(data_set), *arguments]
        print(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.rstrip())
    print(f"results.db: {(tmp_path / 'ids/results.db').stat().st_size / 1e6:.0f} MB")
