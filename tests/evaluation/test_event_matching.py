from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.evaluation import event_matching as matching
from lib.evaluation.event_matching import events, match, onsets, overlaps

TIMES = st.tuples(st.integers(0, 1), st.integers(0, 12), st.integers(1, 6))
EVENTS = st.lists(TIMES, max_size=5)


def of(rows, low=None, high=None):
    rows = np.array(rows, float).reshape(-1, 3)
    return events(rows[:, 0], rows[:, 1], rows[:, 1] + rows[:, 2], low, high)


def at(*spans, low=None, high=None):
    """Events of one group from their start and end times."""
    return of([(0, start, end - start) for start, end in spans], low, high)


def all_pairs(pairs):
    return dict(zip(zip(pairs.annotated.tolist(), pairs.found.tolist(), strict=True), pairs.affinity, strict=True))


def best_by_trying(annotated, found, affinity, threshold):
    """Most pairs, then most affinity, of all one-to-one choices."""
    slots = [*range(len(found)), *[None] * len(annotated)]
    best = (0, 0.0)
    for choice in set(permutations(slots, len(annotated))):
        used = [affinity.get((a, f), 0) for a, f in enumerate(choice) if affinity.get((a, f), 0) >= threshold]
        best = max(best, (len(used), round(sum(used), 9)))
    return best


def test_iou_of_times_by_hand():
    pairs = all_pairs(overlaps(at((0, 4), (10, 12)), at((2, 6), (1, 2), (12, 13), (9, 13))))
    assert pairs == {(0, 0): pytest.approx(2 / 6), (0, 1): pytest.approx(1 / 4), (1, 3): pytest.approx(2 / 4)}


def test_boxes_count_where_both_have_frequencies():
    annotated = at((0, 4), (0, 4), (0, 4), low=[1000, 1000, np.nan], high=[3000, 3000, np.nan])
    found = at((0, 4), low=[2000], high=[4000])
    pairs = all_pairs(overlaps(annotated, found))
    assert pairs[0, 0] == pytest.approx(1 / 3)  # 4 s x 1 kHz of 4 s x 3 kHz
    assert pairs[2, 0] == 1
    assert all_pairs(overlaps(annotated, at((0, 2), low=[5000], high=[6000]))) == {(2, 0): 0.5}


def test_events_of_other_groups_never_match():
    assert len(overlaps(of([(0, 1, 2)]), of([(1, 1, 2)])).affinity) == 0
    assert len(onsets(of([(0, 1, 2)]), of([(1, 1, 2)]), 0.5).affinity) == 0


def test_onset_collar_by_hand():
    annotated, found = at((1.0, 2.0), (5.0, 15.0)), at((1.2, 3.0), (1.3, 2.0), (5.1, 13.0), (5.2, 12.9))
    assert set(all_pairs(onsets(annotated, found, 0.2))) == {(0, 0), (1, 2), (1, 3)}
    assert set(all_pairs(onsets(annotated, found, 0.2, offset_fraction=0.2))) == {(1, 2)}  # 2 s of 10 s
    near = all_pairs(onsets(annotated, found, 0.4))
    assert near[1, 2] > near[1, 3]


def test_as_many_pairs_as_possible_go_before_the_best_single_one():
    annotated, found = at((0, 4), (4, 10)), at((1, 7), (0, 1.5))
    affinity = all_pairs(overlaps(annotated, found))
    assert affinity[0, 0] > affinity[0, 1] and affinity[1, 0] > 0
    assert set(all_pairs(match(overlaps(annotated, found)))) == {(0, 1), (1, 0)}


def test_a_label_over_two_events_finds_only_one_of_them():
    matched = match(overlaps(at((0, 2), (2, 5)), at((0, 5))))
    assert set(all_pairs(matched)) == {(1, 0)}


def test_nothing_matches_nothing():
    for annotated, found in ((at(), at()), (at((0, 1)), at()), (at(), at((0, 1)))):
        assert len(match(overlaps(annotated, found)).affinity) == 0
        assert len(match(onsets(annotated, found, 1)).affinity) == 0


def test_infinite_times_are_refused():
    with pytest.raises(ValueError, match="finite"):
        events([0], [1], [np.inf])


@given(EVENTS, EVENTS)
def test_overlaps_are_those_that_a_look_at_every_pair_finds(a, f):
    expected = {}
    for i, (group, start, length) in enumerate(a):
        for j, (other, begin, duration) in enumerate(f):
            shared = min(start + length, begin + duration) - max(start, begin)
            if group == other and shared > 0:
                expected[i, j] = shared / (length + duration - shared)
    assert all_pairs(overlaps(of(a), of(f))) == pytest.approx(expected)


@given(EVENTS, EVENTS)
def test_a_matching_is_one_to_one_and_the_best_there_is(a, f):
    pairs = overlaps(of(a), of(f))
    for threshold in (0.0, 0.3, 0.5):
        matched = match(pairs.at_least(threshold))
        assert len(set(matched.annotated)) == len(set(matched.found)) == len(matched.affinity)
        best = best_by_trying(a, f, all_pairs(pairs), max(threshold - 1e-6, 1e-9))
        assert (len(matched.affinity), matched.affinity.sum()) == pytest.approx(best)


@given(EVENTS, EVENTS)
def test_the_number_of_matches_falls_with_the_threshold_and_with_a_smaller_collar(a, f):
    pairs = overlaps(of(a), of(f))
    numbers = [len(match(pairs.at_least(threshold)).affinity) for threshold in np.arange(0, 1.05, 0.1)]
    assert numbers == sorted(numbers, reverse=True)
    numbers = [len(match(onsets(of(a), of(f), collar)).affinity) for collar in (0.5, 1, 2, 5)]
    assert numbers == sorted(numbers)


@given(EVENTS, EVENTS)
@settings(max_examples=30)
def test_large_components_are_solved_as_well_as_small_ones(a, f):
    pairs = overlaps(of(a), of(f))
    dense = match(pairs)
    cells, matching.DENSE_CELLS = matching.DENSE_CELLS, 0
    try:
        sparse = match(pairs)
    finally:
        matching.DENSE_CELLS = cells
    assert len(sparse.affinity) == len(dense.affinity)
    assert sparse.affinity.sum() == pytest.approx(dense.affinity.sum())


def test_a_chain_of_thousands_of_overlapping_windows_is_matched_whole():
    starts = np.arange(3000) * 1.5
    annotated, found = (events(np.zeros(3000), starts + shift, starts + shift + 3) for shift in (0, 0.7))
    matched = match(overlaps(annotated, found))
    assert len(matched.affinity) == 3000
    assert matched.affinity == pytest.approx(2.3 / 3.7)
