"""How long the map of 3,000 sounds takes, which UMAP lays out."""

import time

import numpy as np
import pytest

from lib.curation.embedding_map import layout


@pytest.mark.benchmark
def test_three_thousand_sounds(capsys):
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((10, 192))
    kinds = rng.integers(10, size=3000)
    vectors = (centres[kinds] + 0.7 * rng.standard_normal((3000, 192))).astype(np.float32)
    seconds, positions = [], []
    for _ in range(2):
        begin = time.perf_counter()
        positions.append(layout(vectors))
        seconds.append(time.perf_counter() - begin)
    assert np.array_equal(*positions)
    distances = np.linalg.norm(positions[0][:, None] - positions[0][None, :200], axis=2)
    np.fill_diagonal(distances[:200], np.inf)
    nearest = kinds[distances.argmin(axis=0)]
    with capsys.disabled():
        print(f"\nfirst map {seconds[0]:.1f} s, another {seconds[1]:.1f} s")
        print(f"nearest point of the same kind: {(nearest == kinds[:200]).mean():.3f}")
