import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lib.training.batches import epoch_order


@given(st.integers(1, 50), st.integers(0, 200), st.integers(2, 40))
def test_epoch_shows_every_window_and_as_many_as_asked_for(n, at_least, batch_size):
    indices = np.arange(100, 100 + n)
    batches = epoch_order(indices, at_least, batch_size, seed=1, epoch=0)
    shown, counts = np.unique(np.concatenate(batches), return_counts=True)
    assert np.array_equal(shown, indices)
    assert counts.max() - counts.min() <= 1
    assert counts.sum() == max(n, at_least)
    smallest, largest = min(map(len, batches)), max(map(len, batches))
    assert largest <= max(batch_size, 3) and largest <= smallest + 1 and smallest >= min(2, n)


def test_order_follows_from_seed_and_epoch():
    pairs = ((1, 0), (1, 0), (1, 1), (2, 0))
    orders = [np.concatenate(epoch_order(np.arange(60), 100, 8, *pair)).tolist() for pair in pairs]
    assert orders[0] == orders[1]
    assert orders[0] != orders[2] != orders[3] != orders[0]
