"""Stratification: items with several labels each, assigned so that every set gets its part of every label.

The algorithm is iterative stratification (Sechidis, Tsoumakas and Vlahavas, On the Stratification of Multi-Label Data,
2011): labels are assigned from the rarest on, each item to the set that still lacks most of the label.
"""

import numpy as np


def stratify(counts: np.ndarray, wanted: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The set of each item, int (n_items,).

    Of the items with a label, those that have most of it come first, in an order drawn by rng. Sets that lack as much
    of the label are chosen by how much they lack in all, and then by chance.

    Args:
        counts: how much of each label an item has, and in the last column how much it counts as a whole,
            (n_items, n_labels + 1).
        wanted: the same of what each set is to get, (n_sets, n_labels + 1).
        rng: breaks ties.
    """
    lacking = np.array(wanted, float)
    set_of = np.full(len(counts), -1)
    rarest_first = np.argsort(np.count_nonzero(counts[:, :-1], axis=0), kind="stable")
    for column in [*rarest_first, -1]:
        items = rng.permutation(np.flatnonzero((set_of < 0) & ((counts[:, column] > 0) | (column < 0))))
        for item in items[np.argsort(-counts[items, column], kind="stable")]:
            best = max(range(len(lacking)), key=lambda i: (lacking[i, column], lacking[i, -1], rng.random()))
            set_of[item] = best
            lacking[best] -= counts[item]
    return set_of
