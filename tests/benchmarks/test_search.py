"""How many stored windows a search looks at in a second, and how much memory that needs.

`make benchmark` prints it; nothing here asserts a time.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lib.config.schema import AudioSettings
from lib.curation.embedding_store import EmbeddingStore

pytestmark = pytest.mark.benchmark

ROOT = Path(__file__).parents[2]
DIM = 192
A_RECORDING = 400
"""Windows of ten minutes that overlap by half."""
SEARCH = """
import resource, sys, time
import numpy as np, torch
from lib.curation.embedding_store import EmbeddingStore
from lib.curation.nearest_windows import Query, nearest_windows
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rng = np.random.default_rng(2)
for n_queries, distinct in ((1, False), (8, True)):
    with EmbeddingStore(sys.argv[1]) as store:
        query = Query(rng.random((n_queries, store.dim), np.float32))
        start = time.perf_counter()
        nearest_windows(store, store.pieces(), query, 20, distinct)
        seconds = time.perf_counter() - start
        n = store.count()
        print(f"{n:>10,} windows, {n_queries} of the query: {seconds:.2f} s, {n / seconds:,.0f} windows/s")
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(f"           peak memory {(peak - before) / 1024:.0f} MB above {before / 1024:.0f} MB of imports")
"""


@pytest.mark.parametrize("n", [100_000, 1_000_000])
def test_search_of_random_vectors(n, tmp_path):
    manifest = {"audio": AudioSettings().model_dump(), "hop": 1.5, "models": []}
    rng = np.random.default_rng(1)
    names = [f"r{number:06}" for number in range(n // A_RECORDING)]
    with EmbeddingStore(tmp_path / "store.db", names, manifest) as store:
        for name in names:
            vectors = rng.random((A_RECORDING, DIM), np.float32)
            store.write(name, f"field/{name}.wav", "key", [(vectors, 1.5 * A_RECORDING)], [])
        store.finish()
    command = [sys.executable, "-c", SEARCH, str(tmp_path / "store.db")]
    print("\n" + subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout, end="")
