import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lib.inference.labels import Label, WindowLabeller, find_hits


def labels_of(windows, length, names, merge=True, cuts=()):
    """Labels of windows of (start, class, score), which come in some pieces; by start and class."""
    starts = np.array(sorted({start for start, _, _ in windows}), float)
    scores = np.zeros((len(starts), len(names)))
    for start, column, score in windows:
        scores[np.searchsorted(starts, start), column] = score
    labeller = WindowLabeller(names, np.full(len(names), 0.1), length, merge)
    pieces = zip(np.split(starts, cuts), np.split(scores, cuts), strict=True)
    labels = [label for piece in pieces for label in labeller.add(*piece)] + labeller.finish()
    return sorted(labels, key=lambda label: (label.start_time, label.name))


def test_hits_are_the_windows_and_classes_that_score_high_enough():
    scores = np.array([[0.5, 0.49], [0.1, 0.9]])
    starts, columns, values = find_hits(np.array([0.0, 1.5]), scores, 0.5)
    assert list(zip(starts, columns, values, strict=True)) == [(0.0, 0, 0.5), (1.5, 1, 0.9)]


def test_overlapping_and_touching_windows_of_a_class_become_one_label():
    windows = [(0, 1, 0.6), (1.5, 1, 0.9), (4.5, 1, 0.7), (9, 1, 0.8), (1.5, 0, 0.5)]
    assert labels_of(windows, 3.0, ["a", "b"]) == [
        Label("b", 0.0, 7.5, 0.9),
        Label("a", 1.5, 4.5, 0.5),
        Label("b", 9.0, 12.0, 0.8),
    ]


def test_without_merging_each_window_is_a_label():
    assert labels_of([(1.5, 1, 0.9), (0, 1, 0.6), (1.5, 0, 0.5)], 3.0, ["a", "b"], merge=False) == [
        Label("b", 0.0, 3.0, 0.6),
        Label("a", 1.5, 4.5, 0.5),
        Label("b", 1.5, 4.5, 0.9),
    ]


def test_a_label_comes_as_soon_as_it_is_final():
    labeller = WindowLabeller(["a"], np.array([0.5]), 3.0, merge=True)
    assert labeller.add(np.array([0.0, 1.5]), np.array([[0.9], [0.6]])) == []
    assert labeller.add(np.array([6.0]), np.array([[0.7]])) == [Label("a", 0.0, 4.5, 0.9)]
    assert labeller.finish() == [Label("a", 6.0, 9.0, 0.7)]


def test_nothing_found_is_no_label():
    assert labels_of([(0.0, 0, 0.05)], 3.0, ["a"]) == []


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 2)), unique=True, max_size=30),
    st.integers(1, 6),
    st.lists(st.integers(0, 30), max_size=3).map(sorted),
    st.randoms(use_true_random=False),
)
def test_labels_cover_what_the_windows_cover(windows, length, cuts, rng):
    """Compared with painting the windows on a grid of tenths of a second and reading off the stretches."""
    windows = [(start, column, rng.choice([0.3, 0.6, 0.9])) for start, column in windows]
    expected = []
    for column in range(3):
        inside = {start + k for start, c, _ in windows if c == column for k in range(length)}
        borders = {start for start, c, _ in windows if c == column}
        for first in sorted(tenth for tenth in borders if tenth - 1 not in inside):
            last = first
            while last in inside:
                last += 1
            score = max(s for start, c, s in windows if c == column and first <= start < last)
            expected.append((first, "abc"[column], last, score))
    windows = [(start / 10, column, score) for start, column, score in windows]
    labels = labels_of(windows, length / 10, "abc", cuts=cuts)
    found = [(round(start * 10), name, round(end * 10), score) for name, start, end, score in labels]
    assert found == sorted(expected)
