import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.sound.grid import MIN_TAIL, expand_ranges, n_windows, window_starts, windows_with_event

LENGTHS = st.sampled_from([0.2, 0.5, 1.0, 3.0, 5.0])
SHARES = st.sampled_from([0.1, 0.25, 0.5, 0.9, 1.0])
SECONDS = st.floats(0.01, 500)


@given(seconds=SECONDS, length=LENGTHS, share=SHARES)
def test_every_moment_but_a_short_tail_is_in_a_window_and_no_window_is_superfluous(seconds, length, share):
    hop = length * share
    starts = window_starts(seconds, length, hop)
    tail = min(MIN_TAIL, length / 2)
    np.testing.assert_allclose(starts, np.arange(len(starts)) * hop)
    assert starts[-1] + length >= seconds - tail - 1e-5
    assert len(starts) == 1 or starts[-2] + length < seconds + 1e-5
    assert len(starts) == 1 or seconds > starts[-1] + min(tail, length) - 1e-5


@given(seconds=SECONDS, more=st.floats(0, 10), length=LENGTHS, share=SHARES)
def test_a_longer_recording_has_no_fewer_windows(seconds, more, length, share):
    assert n_windows(seconds, length, length * share) <= n_windows(seconds + more, length, length * share)


@pytest.mark.parametrize(
    ("seconds", "starts"),
    [
        (0, []),
        (0.01, [0]),
        (3.0, [0]),
        (3.3, [0]),  # a tail of 0.3 s gets no window
        (3.31, [0, 1.5]),
        (4.5, [0, 1.5]),
        (6.0, [0, 1.5, 3.0]),
        (6.0 - 1e-7, [0, 1.5, 3.0]),
    ],
)
def test_windows_of_three_seconds_that_share_half(seconds, starts):
    assert window_starts(seconds, 3.0, 1.5).tolist() == starts


def windows(start, end, length=3.0, hop=3.0, min_seconds=0.3, count=3, **recording) -> list[int]:
    """Indices of the windows in which an event is present."""
    first, last = windows_with_event(np.array([start]), np.array([end]), length, hop, min_seconds, count, **recording)
    return expand_ranges(first, last)[1].tolist()


@pytest.mark.parametrize(
    ("event", "present"),
    [
        ((1, 2), [0]),
        ((0, 9), [0, 1, 2]),
        ((2.5, 3.5), [0, 1]),
        ((2.7, 3.3), [0, 1]),
        ((2.9, 4), [1]),
        ((1, 1.1), [0]),  # shorter than 0.3 s, and whole in a window
        ((2.9, 3.1), [0]),  # 0.1 s on either side of a border
        ((2.9, 3.15), [1]),
        ((2.75, 3.29), [1]),  # longer than 0.3 s, but 0.25 and 0.29 s on either side
        ((8.9, 9.2), [2]),  # mostly in the tail after the last window
        ((9.0, 9.2), []),
    ],
)
def test_windows_without_overlap(event, present):
    assert windows(*event) == present


@pytest.mark.parametrize(
    ("event", "present"),
    [((2, 2.1), [0, 1]), ((2.9, 3.1), [1]), ((4.4, 4.9), [2, 3]), ((0, 1.75), [0]), ((0, 1.8), [0, 1])],
)
def test_windows_that_share_half(event, present):
    assert windows(*event, hop=1.5, count=5) == present


@pytest.mark.parametrize(
    ("event", "present"),
    [
        ((7.0, np.inf), [2]),
        ((5.9, 8.5), [2]),
        ((7.9, 8.5), [2]),  # 0.1 s, all that there is of it
        ((5.8, 6.1), [1]),
        ((8.0, 8.5), []),
        ((8.5, 9.0), []),
        ((-1.0, 0.1), [0]),
        ((-1.0, 0.0), []),
        ((-2.0, -1.0), []),
        ((-np.inf, np.inf), [0, 1, 2]),
    ],
)
def test_only_what_lies_between_the_first_window_and_the_end_of_the_recording_counts(event, present):
    assert windows(*event, seconds=8.0) == present


def test_a_window_that_is_shorter_than_the_required_seconds_must_be_filled():
    assert windows(0.5, 7, length=3, min_seconds=5) == [1]
    assert windows(2, 4, length=3, min_seconds=5) == [0]


@given(k=st.integers(0, 2000), length=st.integers(1, 50), hop=st.integers(1, 50))
def test_decimal_times_count_as_exact(k, length, hop):
    begin = k * hop / 10
    present = windows(begin, begin + length / 10, length / 10, hop / 10, min_seconds=100.0, count=2001)
    assert present == [k]


TICK = 1 / 64  # sums of such times are exact


@given(
    start=st.integers(0, 1000),
    duration=st.integers(1, 400),
    length=st.integers(1, 200),
    share=st.floats(0.01, 1),
    needed=st.integers(1, 200),
    count=st.integers(1, 50),
)
def test_an_event_is_in_the_windows_that_contain_enough_of_it_or_else_most(
    start, duration, length, share, needed, count
):
    hop = max(1, int(share * length))
    starts = np.arange(count) * hop
    inside = np.minimum(starts + length, start + duration) - np.maximum(starts, start)
    expected = np.flatnonzero(inside >= min(needed, length, duration)).tolist()
    if not expected and inside.max() > 0:
        expected = [int(inside.argmax())]
    times = (start * TICK, (start + duration) * TICK, length * TICK, hop * TICK, needed * TICK)
    assert windows(*times, count) == expected
