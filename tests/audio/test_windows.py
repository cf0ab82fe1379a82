import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.audio.windows import MIN_TAIL, n_windows, window_starts

LENGTHS = st.sampled_from([0.2, 0.5, 1.0, 3.0, 5.0])
SHARES = st.sampled_from([0.1, 0.25, 0.5, 0.9, 1.0])
SECONDS = st.floats(0.01, 500)


@given(seconds=SECONDS, length=LENGTHS, share=SHARES)
def test_every_moment_but_a_short_tail_lies_in_a_window_and_no_window_is_for_nothing(seconds, length, share):
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
        (3.3, [0]),  # a tail of 0.3 s is not worth a window
        (3.31, [0, 1.5]),
        (4.5, [0, 1.5]),
        (6.0, [0, 1.5, 3.0]),
    ],
)
def test_windows_of_three_seconds_that_share_half(seconds, starts):
    assert window_starts(seconds, 3.0, 1.5).tolist() == starts


def test_a_duration_that_is_a_hair_short_of_a_window_counts_as_whole():
    assert window_starts(6.0 - 1e-7, 3.0, 3.0).tolist() == [0, 3]
