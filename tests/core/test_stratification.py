import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.core.stratification import stratify


@pytest.mark.parametrize("seed", range(5))
def test_each_set_gets_its_part_of_each_label(seed):
    has = np.zeros((60, 4))
    has[:30, 0] = has[25:49, 1] = has[54:, 2] = has[:, 3] = 1  # 30, 24 and 6 items; some have two labels, some none
    set_of = stratify(has, np.outer([0.5, 0.3, 0.2], has.sum(axis=0)), np.random.default_rng(seed))
    for number, part in enumerate([0.5, 0.3, 0.2]):
        assert has[set_of == number].sum(axis=0) == pytest.approx(part * has.sum(axis=0), abs=1.5)


@given(st.data(), st.integers(1, 30), st.integers(0, 5), st.integers(1, 4), st.integers(0, 99))
def test_every_item_is_in_one_set_the_same_for_the_same_seed(data, n, n_labels, n_sets, seed):
    counts = np.random.default_rng(seed).integers(0, 3, (n, n_labels + 1))
    shares = np.array(data.draw(st.lists(st.floats(0.1, 1), min_size=n_sets, max_size=n_sets)))
    wanted = np.outer(shares / shares.sum(), counts.sum(axis=0))
    set_of, again = (stratify(counts, wanted, np.random.default_rng(seed)) for _ in range(2))
    assert set_of.shape == (n,) and set(set_of) <= set(range(n_sets))
    assert np.array_equal(set_of, again)


def test_large_items_are_shared_out_first():
    """One of 10 and ten of 1: half of the label is the large one alone, whatever the order drawn."""
    counts = np.array([[1, 1]] * 5 + [[10, 10]] + [[1, 1]] * 5)
    for seed in range(10):
        set_of = stratify(counts, np.full((2, 2), 10.0), np.random.default_rng(seed))
        assert np.bincount(set_of, counts[:, 0]).tolist() == [10, 10]
